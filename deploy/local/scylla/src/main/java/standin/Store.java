// SPDX-License-Identifier: Apache-2.0
package standin;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Date;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.cql3.UntypedResultSet;
import org.apache.cassandra.db.commitlog.CommitLog;

/** The stand-in's own reads and writes of system tables. */
final class Store
{
    private static final ScheduledExecutorService LATER = Executors.newSingleThreadScheduledExecutor(r -> {
        Thread t = new Thread(r, "late publication");
        t.setDaemon(true);
        return t;
    });

    private Store() {}

    static UntypedResultSet run(String cql, Object... values)
    {
        return QueryProcessor.executeInternal(cql, values);
    }

    static Date inMillis(long delay) { return new Date(System.currentTimeMillis() + delay); }

    static void after(long delayMillis, Runnable work)
    {
        if (delayMillis <= 0) work.run();
        else LATER.schedule(work, delayMillis, TimeUnit.MILLISECONDS);
    }

    /**
     * Makes every write so far survive the death of this process. The commit log is mapped memory, so
     * its bytes are safe in the page cache, but a restart reads it only up to the last section that
     * was closed: this closes one, without waiting for the disk. (Its `group` and `batch` modes wait
     * for the disk twice a write, as the log rows are a second mutation.)
     */
    static void closeCommitLogSection()
    {
        try
        {
            CommitLog.instance.sync(false);
        }
        catch (IOException e)
        {
            throw new UncheckedIOException(e);
        }
    }
}
