// SPDX-License-Identifier: Apache-2.0
package org.apache.cassandra.cql3.statements.schema;

import java.util.Map;
import java.util.Set;
import org.apache.cassandra.audit.AuditLogContext;
import org.apache.cassandra.auth.IResource;
import org.apache.cassandra.cql3.QueryOptions;
import org.apache.cassandra.schema.Keyspaces;
import org.apache.cassandra.schema.Keyspaces.KeyspacesDiff;
import org.apache.cassandra.service.ClientState;
import org.apache.cassandra.service.QueryState;
import org.apache.cassandra.transport.Dispatcher;
import org.apache.cassandra.transport.Event.SchemaChange;
import org.apache.cassandra.transport.messages.ResultMessage;
import standin.LogTables;
import standin.ScyllaTables;

/**
 * Any schema statement, and what it means for CDC in the same schema transformation. In this package
 * for the members that are private to it.
 */
public final class ScyllaSchemaStatement extends AlterSchemaStatement
{
    private final AlterSchemaStatement inner;
    private final Map<String, String> cdc;
    private final Map<String, String> tablets;
    private Keyspaces before;

    /** The options' values; null where the statement has none. */
    public ScyllaSchemaStatement(AlterSchemaStatement inner, Map<String, String> cdc, Map<String, String> tablets)
    {
        super(inner.keyspaceName);
        this.inner = inner;
        this.cdc = cdc;
        this.tablets = tablets;
    }

    @Override
    public Keyspaces apply(Keyspaces schema)
    {
        before = schema;
        return LogTables.follow(schema, inner.apply(schema), inner, cdc);
    }

    @Override
    public ResultMessage execute(QueryState state, QueryOptions options, Dispatcher.RequestTime time)
    {
        ResultMessage result = super.execute(state, options, time);
        ScyllaTables.follow(before, inner, tablets);
        return result;
    }

    @Override
    SchemaChange schemaChangeEvent(KeyspacesDiff diff) { return inner.schemaChangeEvent(diff); }

    @Override
    Set<IResource> createdResources(KeyspacesDiff diff) { return inner.createdResources(diff); }

    @Override
    Set<String> clientWarnings(KeyspacesDiff diff) { return inner.clientWarnings(diff); }

    @Override
    public void authorize(ClientState client) { inner.authorize(client); }

    @Override
    public void validate(ClientState client)
    {
        super.validate(client);
        inner.validate(client);
    }

    @Override
    public AuditLogContext getAuditLogContext() { return inner.getAuditLogContext(); }

    @Override
    public String toString() { return inner.toString(); }
}
