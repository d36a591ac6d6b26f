// SPDX-License-Identifier: Apache-2.0
package standin;

import java.nio.ByteBuffer;
import java.util.Map;
import org.apache.cassandra.cql3.Attributes;
import org.apache.cassandra.cql3.BatchQueryOptions;
import org.apache.cassandra.cql3.CQLStatement;
import org.apache.cassandra.cql3.QueryHandler;
import org.apache.cassandra.cql3.QueryOptions;
import org.apache.cassandra.cql3.QueryProcessor;
import org.apache.cassandra.cql3.statements.BatchStatement;
import org.apache.cassandra.cql3.statements.ModificationStatement;
import org.apache.cassandra.cql3.statements.schema.AlterSchemaStatement;
import org.apache.cassandra.cql3.statements.schema.ScyllaSchemaStatement;
import org.apache.cassandra.service.ClientState;
import org.apache.cassandra.service.QueryState;
import org.apache.cassandra.transport.Dispatcher;
import org.apache.cassandra.transport.messages.ResultMessage;
import org.apache.cassandra.utils.MD5Digest;

/** Lets ScyllaDB's CQL in, and refuses the writes that ScyllaDB's CDC refuses. */
public final class ScyllaQueryHandler implements QueryHandler
{
    private static final QueryProcessor cassandra = QueryProcessor.instance;
    /** The statement just parsed on this thread that is to be logged as an expiry. */
    private static final ThreadLocal<CQLStatement> expiry = new ThreadLocal<>();
    /** For the size limit of the cache of prepared statements; nobody prepares many of these. */
    private static final int PREPARED_DDL_BYTES = 4096;

    @Override
    public CQLStatement parse(String cql, QueryState state, QueryOptions options)
    {
        boolean expires = TestCommand.run(cql);
        CQLStatement statement = parse(ScyllaCql.mayNeedRewriting(cql) ? ScyllaCql.of(cql) : null, cql, state, options);
        expiry.set(expires ? statement : null);
        return statement;
    }

    private static CQLStatement parse(ScyllaCql rewritten, String cql, QueryState state, QueryOptions options)
    {
        if (rewritten == null) return cassandra.parse(cql, state, options);
        CQLStatement statement = cassandra.parse(rewritten.cql(), state, options);
        return statement instanceof AlterSchemaStatement ddl ? new ScyllaSchemaStatement(ddl, rewritten.cdc(), rewritten.tablets()) : statement;
    }

    @Override
    public ResultMessage process(CQLStatement s, QueryState state, QueryOptions o, Map<String, ByteBuffer> payload, Dispatcher.RequestTime t)
    {
        check(s, state, o);
        return cassandra.process(s, state, o, payload, t);
    }

    @Override
    public ResultMessage.Prepared prepare(String cql, ClientState client, Map<String, ByteBuffer> payload)
    {
        ScyllaCql rewritten = ScyllaCql.mayNeedRewriting(cql) ? ScyllaCql.of(cql) : null;
        if (rewritten == null || !rewritten.ddl())
            return cassandra.prepare(rewritten == null ? cql : rewritten.cql(), client, payload);
        // Under its own text: two statements that differ in their cdc option only are not the same.
        QueryState state = new QueryState(client);
        CQLStatement statement = parse(rewritten, cql, state, QueryOptions.DEFAULT);
        Prepared prepared = new Prepared(statement, cql, true, client.getRawKeyspace());
        prepared.pstmntSize = PREPARED_DDL_BYTES;
        ResultMessage.Prepared result = QueryProcessor.storePreparedStatement(cql, client.getRawKeyspace(), prepared);
        // Not over a restart: Cassandra would prepare it by itself, with nothing rewritten. (Its own
        // delete may have the same millisecond as the write, and lose.)
        Store.run("DELETE FROM system.prepared_statements USING TIMESTAMP ? WHERE prepared_id = ?",
                  prepared.timestamp + 1, result.statementId.byteBuffer());
        return result;
    }

    @Override
    public Prepared getPrepared(MD5Digest id) { return cassandra.getPrepared(id); }

    @Override
    public ResultMessage processPrepared(CQLStatement s, QueryState state, QueryOptions o, Map<String, ByteBuffer> payload, Dispatcher.RequestTime t)
    {
        check(s, state, o);
        return cassandra.processPrepared(s, state, o, payload, t);
    }

    @Override
    public ResultMessage processBatch(BatchStatement batch, QueryState state, BatchQueryOptions o, Map<String, ByteBuffer> payload, Dispatcher.RequestTime t)
    {
        long now = batchMicros(batch, o.getTimestamp(state), o.forStatement(0));
        for (int i = 0; i < batch.getStatements().size(); i++) check(batch.getStatements().get(i), now, o.forStatement(i));
        return cassandra.processBatch(batch, state, o, payload, t);
    }

    // ---- timestamps ----------------------------------------------------------------------------

    private static void check(CQLStatement s, QueryState state, QueryOptions o)
    {
        if (s instanceof ModificationStatement m)
        {
            if (!CdcOptions.enabled(m.metadata())) return;
            check(m, o.getTimestamp(state), o);
            if (s == expiry.get()) CdcMemtable.expect(m.metadata().id, m.getTimestamp(o.getTimestamp(state), o));
        }
        else if (s instanceof BatchStatement batch)
        {
            long now = batchMicros(batch, o.getTimestamp(state), o);
            for (ModificationStatement m : batch.getStatements()) check(m, now, o);
        }
    }

    private static void check(ModificationStatement m, long defaultMicros, QueryOptions o)
    {
        // A conditional write has the time of its Paxos ballot.
        if (m.hasConditions() || !CdcOptions.enabled(m.metadata())) return;
        Streams.check(m.keyspace(), m.table(), m.getTimestamp(defaultMicros, o));
    }

    private static long batchMicros(BatchStatement batch, long defaultMicros, QueryOptions o)
    {
        return BatchAttributes.of(batch).getTimestamp(defaultMicros, o);
    }

    /** {@code BEGIN BATCH USING TIMESTAMP}: a private field. */
    private static final class BatchAttributes
    {
        private static final java.lang.reflect.Field FIELD = field();

        private static java.lang.reflect.Field field()
        {
            try
            {
                java.lang.reflect.Field f = BatchStatement.class.getDeclaredField("attrs");
                f.setAccessible(true);
                return f;
            }
            catch (NoSuchFieldException e)
            {
                throw new IllegalStateException(e);
            }
        }

        static Attributes of(BatchStatement batch)
        {
            try
            {
                return (Attributes) FIELD.get(batch);
            }
            catch (IllegalAccessException e)
            {
                throw new IllegalStateException(e);
            }
        }
    }
}
