// SPDX-License-Identifier: Apache-2.0
package standin;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.cassandra.exceptions.InvalidRequestException;

/**
 * What tests cannot make happen on one node, as a comment before any statement:
 * <pre>
 * /&#42; stand-in: generation in 2000 ms &#42;/
 * /&#42; stand-in: generation in 0 ms, published after 3000 ms &#42;/
 * /&#42; stand-in: tablets ks.tbl 8 in 2000 ms &#42;/
 * /&#42; stand-in: expiry &#42;/ DELETE FROM ...      (logged as the server's own delete)
 * </pre>
 */
final class TestCommand
{
    private static final Pattern COMMENT = Pattern.compile("^\\s*/\\*\\s*stand-in:\\s*(.*?)\\s*\\*/", Pattern.DOTALL);
    private static final String WHEN = "in (\\d+) ms(?:, published after (\\d+) ms)?";
    private static final Pattern GENERATION = Pattern.compile("generation " + WHEN);
    private static final Pattern TABLETS = Pattern.compile("tablets (\\w+)\\.(\\w+) (\\d+) " + WHEN);
    private static final String EXPIRY = "expiry";

    private TestCommand() {}

    /** Runs the command, if the text begins with one. Returns whether its statement is an expiry. */
    static boolean run(String cql)
    {
        Matcher comment = COMMENT.matcher(cql);
        if (!comment.find()) return false;
        String command = comment.group(1);
        if (command.equals(EXPIRY)) return true;
        Matcher m = GENERATION.matcher(command);
        if (m.matches())
        {
            VnodeStreams.newGeneration(Long.parseLong(m.group(1)), millis(m.group(2)));
            return false;
        }
        m = TABLETS.matcher(command);
        if (!m.matches()) throw new InvalidRequestException("The stand-in does not know the command '" + command + "'");
        TabletStreams.newSet(m.group(1), m.group(2), Integer.parseInt(m.group(3)), Long.parseLong(m.group(4)), millis(m.group(5)));
        return false;
    }

    private static long millis(String text) { return text == null ? 0 : Long.parseLong(text); }
}
