// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.ArrayList;
import java.util.List;

/**
 * Cuts CQL text into tokens, so that nothing is ever rewritten inside a string, a quoted name or a
 * comment. Comments and white space give no token.
 */
final class CqlTokens
{
    enum Kind { WORD, QUOTED_NAME, STRING, NUMBER, SYMBOL }

    record Token(Kind kind, int start, int end, String text)
    {
        boolean isWord(String word) { return kind == Kind.WORD && text.equalsIgnoreCase(word); }

        boolean isSymbol(char c) { return kind == Kind.SYMBOL && text.charAt(0) == c; }
    }

    private final String cql;
    private final List<Token> tokens = new ArrayList<>();
    private int at = 0;

    private CqlTokens(String cql) { this.cql = cql; }

    static List<Token> of(String cql)
    {
        CqlTokens t = new CqlTokens(cql);
        while (t.at < cql.length()) t.step();
        return t.tokens;
    }

    private void step()
    {
        char c = cql.charAt(at);
        if (Character.isWhitespace(c)) at++;
        else if (follows("--") || follows("//")) at = endOf("\n", at);
        else if (follows("/*")) at = endOf("*/", at + 2);
        else if (follows("$$")) take(Kind.STRING, endOf("$$", at + 2));
        else if (c == '\'') take(Kind.STRING, endOfQuoted('\''));
        else if (c == '"') take(Kind.QUOTED_NAME, endOfQuoted('"'));
        else if (Character.isDigit(c)) take(Kind.NUMBER, endOfWord());
        else if (Character.isLetter(c) || c == '_') take(Kind.WORD, endOfWord());
        else take(Kind.SYMBOL, at + 1);
    }

    private boolean follows(String s) { return cql.startsWith(s, at); }

    /** Behind the next {@code mark}, or the end of the text. */
    private int endOf(String mark, int from)
    {
        int i = cql.indexOf(mark, from);
        return i < 0 ? cql.length() : i + mark.length();
    }

    /** A doubled quote stands for the quote itself. */
    private int endOfQuoted(char quote)
    {
        int i = at + 1;
        while (i < cql.length())
        {
            if (cql.charAt(i) != quote) i++;
            else if (i + 1 < cql.length() && cql.charAt(i + 1) == quote) i += 2;
            else return i + 1;
        }
        return cql.length();
    }

    private int endOfWord()
    {
        int i = at;
        while (i < cql.length() && (Character.isLetterOrDigit(cql.charAt(i)) || cql.charAt(i) == '_')) i++;
        return i;
    }

    private void take(Kind kind, int end)
    {
        tokens.add(new Token(kind, at, end, cql.substring(at, end)));
        at = end;
    }
}
