//! Reads a closed range of one change log with the official client, and says what that took.
//!
//!     cdc-count HOST:PORT KEYSPACE.TABLE START_MS END_MS
//!
//! The client has decoded each row when it hands it over; here it is counted and dropped. All of the
//! range is one window, so that the client asks for nothing twice and never sleeps. Prints one JSON
//! object: changes, seconds, CPU seconds of this process, start-up apart, and its peak of memory.

use std::env;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use async_trait::async_trait;
use scylla::client::session_builder::SessionBuilder;
use scylla_cdc::consumer::{CDCRow, Consumer, ConsumerFactory, OperationType};
use scylla_cdc::log_reader::CDCLogReaderBuilder;
use serde_json::json;

struct Counter {
    changes: Arc<AtomicU64>,
}

#[async_trait]
impl Consumer for Counter {
    async fn consume_cdc(&mut self, row: CDCRow<'_>) -> anyhow::Result<()> {
        // Images and the second row of a range delete belong to another row's change.
        if !matches!(
            row.operation,
            OperationType::PreImage
                | OperationType::PostImage
                | OperationType::RowRangeDelInclRight
                | OperationType::RowRangeDelExclRight
        ) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        black_box(row);
        Ok(())
    }
}

#[async_trait]
impl ConsumerFactory for Counter {
    async fn new_consumer(&self) -> Box<dyn Consumer> {
        Box::new(Counter {
            changes: self.changes.clone(),
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [node, table, start, end] = args.as_slice() else {
        bail!("usage: cdc-count HOST:PORT KEYSPACE.TABLE START_MS END_MS");
    };
    let (keyspace, name) = table.split_once('.').context("KEYSPACE.TABLE")?;
    let start = Duration::from_millis(start.parse()?);
    let end = Duration::from_millis(end.parse()?);
    let session = Arc::new(SessionBuilder::new().known_node(node).build().await?);
    let changes = Arc::new(AtomicU64::new(0));

    let (began, start_up) = (Instant::now(), cpu_seconds()?);
    let (_reader, done) = CDCLogReaderBuilder::new()
        .session(session)
        .keyspace(keyspace)
        .table_name(name)
        .start_timestamp(start)
        .end_timestamp(end)
        .window_size(end - start)
        .safety_interval(Duration::from_millis(1))
        .sleep_interval(Duration::from_secs(1))
        .consumer_factory(Arc::new(Counter {
            changes: changes.clone(),
        }))
        .build()
        .await?;
    done.await?;
    let found = json!({
        "changes": changes.load(Ordering::Relaxed),
        "seconds": began.elapsed().as_secs_f64(),
        "cpu_seconds": cpu_seconds()? - start_up,
        "start_up_cpu_seconds": start_up,
        "peak_mb": peak_mb()?,
    });
    println!("{found}");
    Ok(())
}

fn cpu_seconds() -> anyhow::Result<f64> {
    let mut found = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole rusage, which the call fills.
    let used = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, found.as_mut_ptr()) != 0 {
            bail!("getrusage: {}", std::io::Error::last_os_error());
        }
        found.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(seconds(used.ru_utime) + seconds(used.ru_stime))
}

// Not of getrusage: that begins with the memory of the process that started this one.
fn peak_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no VmHWM")?
        .parse()?;
    Ok((kib / 1024.0 * 10.0).round() / 10.0)
}
