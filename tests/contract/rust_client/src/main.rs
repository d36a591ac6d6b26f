//! Prints what the official client reads from change logs: one JSON object a line and log row.
//!
//!     cdc-rows HOST:PORT START_MS END_MS KEYSPACE.TABLE...
//!
//! It reads up to END_MS, or with `-` for it until told: a line `MS` on standard input says at which
//! time reading ends. The program leaves when every table has been read up to there. The last such
//! line counts. End of input changes nothing. CDC_ROWS_LOGIN may hold USER:PASSWORD.

mod json;

use std::env;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context};
use async_trait::async_trait;
use futures::future::try_join_all;
use scylla::client::session_builder::SessionBuilder;
use scylla_cdc::consumer::{CDCRow, Consumer, ConsumerFactory};
use scylla_cdc::log_reader::CDCLogReaderBuilder;
use tokio::io::{AsyncBufReadExt, BufReader};

const WINDOW: Duration = Duration::from_secs(10);
const SAFETY: Duration = Duration::from_millis(300);
const SLEEP: Duration = Duration::from_millis(400);

struct Printer {
    table: Arc<str>,
}

#[async_trait]
impl Consumer for Printer {
    async fn consume_cdc(&mut self, row: CDCRow<'_>) -> anyhow::Result<()> {
        let line = json::row(&self.table, &row).to_string() + "\n";
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

#[async_trait]
impl ConsumerFactory for Printer {
    async fn new_consumer(&self) -> Box<dyn Consumer> {
        Box::new(Printer {
            table: self.table.clone(),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let code = match run().await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    };
    // A thread still waits on standard input and would hold up an orderly return.
    std::process::exit(code)
}

async fn run() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [node, start, end, tables @ ..] = args.as_slice() else {
        bail!("usage: cdc-rows HOST:PORT START_MS END_MS KEYSPACE.TABLE...");
    };
    let login = env::var("CDC_ROWS_LOGIN").unwrap_or_default();
    let start = millis(start)?;
    let end = if end == "-" {
        Duration::MAX
    } else {
        millis(end)?
    };
    let mut session = SessionBuilder::new().known_node(node);
    if let Some((user, password)) = login.split_once(':') {
        session = session.user(user, password);
    }
    let session = Arc::new(session.build().await?);

    let (mut readers, mut ends) = (Vec::new(), Vec::new());
    for table in tables {
        let (keyspace, name) = table.split_once('.').context("KEYSPACE.TABLE")?;
        let (reader, done) = CDCLogReaderBuilder::new()
            .session(session.clone())
            .keyspace(keyspace)
            .table_name(name)
            .start_timestamp(start)
            .end_timestamp(end)
            .window_size(WINDOW)
            .safety_interval(SAFETY)
            .sleep_interval(SLEEP)
            .consumer_factory(Arc::new(Printer {
                table: table.as_str().into(),
            }))
            .build()
            .await
            .with_context(|| format!("reader of {table}"))?;
        readers.push(reader);
        ends.push(done);
    }
    eprintln!("reading");

    // The orders may come at any time, and stop coming; only the readers decide when it is over.
    let orders = async {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let end = millis(&line)?;
            readers.iter_mut().for_each(|reader| reader.stop_at(end));
        }
        futures::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        done = try_join_all(ends) => done.map(drop),
        failed = orders => failed,
    }
}

fn millis(text: &str) -> anyhow::Result<Duration> {
    let count = text
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is no time in ms"))?;
    Ok(Duration::from_millis(count))
}
