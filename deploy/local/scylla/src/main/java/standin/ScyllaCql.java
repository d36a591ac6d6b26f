// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.cassandra.exceptions.InvalidRequestException;
import org.apache.cassandra.exceptions.SyntaxException;
import standin.CqlTokens.Token;

/**
 * ScyllaDB's CQL turned into Cassandra's.
 *
 * @param cql     what Cassandra's parser is given
 * @param ddl     a statement that changes the schema
 * @param cdc     the value of {@code cdc = {...}}, null if the statement has none
 * @param tablets the value of {@code tablets = {...}}, null if the statement has none
 */
record ScyllaCql(String cql, boolean ddl, Map<String, String> cdc, Map<String, String> tablets)
{
    private static final Set<String> DROPPED_OPTIONS = Set.of(
        "cdc", "tablets", "tombstone_gc", "per_partition_rate_limit", "scylla_encryption_options",
        "storage", "synchronous_updates", "paxos_grace_seconds", "in_memory", "consistency");
    private static final Set<String> USING_ATTRIBUTES = Set.of("ttl", "timestamp", "timeout");

    static ScyllaCql of(String cql)
    {
        List<Token> tokens = CqlTokens.of(cql);
        boolean ddl = !tokens.isEmpty()
                      && (tokens.get(0).isWord("CREATE") || tokens.get(0).isWord("ALTER") || tokens.get(0).isWord("DROP"));
        return ddl ? ddl(cql, tokens) : new ScyllaCql(dml(cql, tokens), false, null, null);
    }

    /** Cheap enough for every statement: whether {@link #of} has anything to do at all. */
    static boolean mayNeedRewriting(String cql)
    {
        return containsWord(cql, "timeout") || containsWord(cql, "bypass") || containsWord(cql, "create")
               || containsWord(cql, "alter") || containsWord(cql, "drop");
    }

    private static boolean containsWord(String cql, String word)
    {
        for (int i = cql.length() - word.length(); i >= 0; i--)
            if (cql.regionMatches(true, i, word, 0, word.length())) return true;
        return false;
    }

    // ---- statements on data ------------------------------------------------------------------

    private static String dml(String cql, List<Token> tokens)
    {
        List<int[]> cuts = new ArrayList<>();
        for (int i = 0; i + 1 < tokens.size(); i++)
        {
            if (tokens.get(i).isWord("BYPASS") && tokens.get(i + 1).isWord("CACHE"))
                cuts.add(new int[] { tokens.get(i).start(), tokens.get(i + 1).end() });
            else if (tokens.get(i).isWord("USING"))
                cutTimeout(tokens, i, cuts);
        }
        if (cuts.isEmpty()) return cql;
        StringBuilder out = new StringBuilder(cql);
        // Blanks keep the places that a syntax error names.
        for (int[] cut : cuts)
            for (int i = cut[0]; i < cut[1]; i++) out.setCharAt(i, ' ');
        return out.toString();
    }

    /** Cuts {@code TIMEOUT x} out of {@code USING a AND b AND c}, with one AND or with the USING. */
    private static void cutTimeout(List<Token> tokens, int using, List<int[]> cuts)
    {
        List<int[]> attributes = new ArrayList<>(); // first token, last token
        int timeout = -1;
        int i = using + 1;
        while (i + 1 < tokens.size() && USING_ATTRIBUTES.contains(tokens.get(i).text().toLowerCase(Locale.ROOT)))
        {
            int last = i + 1;
            if (tokens.get(last).isSymbol('-') || tokens.get(last).isSymbol(':')) last++;
            if (tokens.get(i).isWord("TIMEOUT"))
            {
                timeout = attributes.size();
                if (tokens.get(i + 1).isSymbol('?') || tokens.get(i + 1).isSymbol(':'))
                    throw new InvalidRequestException("The stand-in takes no bind marker for USING TIMEOUT");
            }
            attributes.add(new int[] { i, last });
            i = last + 1;
            if (i >= tokens.size() || !tokens.get(i).isWord("AND")) break;
            i++;
        }
        if (timeout < 0) return;
        int first = attributes.get(timeout)[0], last = attributes.get(timeout)[1];
        if (attributes.size() == 1) first = using;
        else if (timeout > 0) first--; // the AND before it
        else last++;                   // the AND behind it
        cuts.add(new int[] { tokens.get(first).start(), tokens.get(last).end() });
    }

    // ---- statements on the schema ------------------------------------------------------------

    private static ScyllaCql ddl(String cql, List<Token> tokens)
    {
        List<List<Token>> clauses = optionClauses(tokens);
        Map<String, String> cdc = null, tablets = null;
        List<String> kept = new ArrayList<>();
        for (List<Token> clause : clauses)
        {
            String option = clause.size() > 2 && clause.get(1).isSymbol('=') ? clause.get(0).text().toLowerCase(Locale.ROOT) : "";
            if (!DROPPED_OPTIONS.contains(option))
                kept.add(cql.substring(clause.get(0).start(), clause.get(clause.size() - 1).end()));
            else if (option.equals("cdc")) cdc = mapLiteral(clause);
            else if (option.equals("tablets")) tablets = mapLiteral(clause);
        }
        if (kept.size() == clauses.size()) return new ScyllaCql(cql, true, null, null);
        // A statement may not be left without its option: these change nothing.
        if (kept.isEmpty())
            kept.add(tokens.get(1).isWord("KEYSPACE") || tokens.get(1).isWord("SCHEMA") ? "durable_writes = true" : "extensions = {}");
        int from = clauses.get(0).get(0).start();
        List<Token> lastClause = clauses.get(clauses.size() - 1);
        int to = lastClause.get(lastClause.size() - 1).end();
        return new ScyllaCql(cql.substring(0, from) + String.join(" AND ", kept) + cql.substring(to), true, cdc, tablets);
    }

    /** The parts of {@code WITH a AND b AND c} outside of all brackets. */
    private static List<List<Token>> optionClauses(List<Token> tokens)
    {
        List<List<Token>> clauses = new ArrayList<>();
        List<Token> clause = null;
        int depth = 0;
        for (Token t : tokens)
        {
            if (t.isSymbol('(') || t.isSymbol('{') || t.isSymbol('[')) depth++;
            else if (t.isSymbol(')') || t.isSymbol('}') || t.isSymbol(']')) depth--;
            boolean begins = depth == 0 && (clause == null ? t.isWord("WITH") : t.isWord("AND"));
            if (begins) clauses.add(clause = new ArrayList<>());
            else if (clause != null && !t.isSymbol(';')) clause.add(t);
        }
        clauses.removeIf(List::isEmpty);
        return clauses;
    }

    /** {@code name = {'key': value, ...}}; keys and values are strings, numbers or plain words. */
    private static Map<String, String> mapLiteral(List<Token> clause)
    {
        String name = clause.get(0).text();
        if (!clause.get(2).isSymbol('{') || !clause.get(clause.size() - 1).isSymbol('}'))
            throw new SyntaxException("Invalid value for property '" + name + "'. It should be a map.");
        Map<String, String> map = new LinkedHashMap<>();
        for (int i = 3; i < clause.size() - 1; i += 4)
        {
            if (i + 3 > clause.size() - 1 || !clause.get(i + 1).isSymbol(':')
                || (i + 3 < clause.size() - 1 && !clause.get(i + 3).isSymbol(',')))
                throw new SyntaxException("Invalid map for property '" + name + "'");
            map.put(plain(clause.get(i)), plain(clause.get(i + 2)));
        }
        return map;
    }

    private static String plain(Token t)
    {
        if (t.kind() != CqlTokens.Kind.STRING) return t.text();
        if (t.text().startsWith("$$")) return t.text().substring(2, t.text().length() - 2);
        return t.text().substring(1, t.text().length() - 1).replace("''", "'");
    }
}
