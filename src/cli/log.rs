//! How the service's log is written.

use std::fmt;

use image_config_agent::settings::{LogFormat, Settings};
use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Begins to log as the settings say; where they say nothing, as whoever reads it does best.
pub fn begin(settings: &Settings) -> anyhow::Result<()> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let by_default = if is_journal() { LogFormat::Journal } else { LogFormat::Pretty };
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&settings.log_filter)?)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost: the word of it would go the same way, and panic there.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(is_terminal);
    match settings.log_format.unwrap_or(by_default) {
        LogFormat::Pretty => log.with_timer(SystemTime).init(),
        LogFormat::Journal => log.with_ansi(false).event_format(Journal).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Whether standard error goes to the journal: systemd says which stream does, and a program that a
/// service starts may have another.
pub fn is_journal() -> bool {
    let said = std::env::var("JOURNAL_STREAM").ok();
    let Some((device, inode)) = said.as_deref().and_then(|said| said.split_once(':')) else {
        return false;
    };
    fstat(std::io::stderr()).is_ok_and(|stream| {
        device == stream.st_dev.to_string() && inode == stream.st_ino.to_string()
    })
}

/// Lines for the journal: each begins with its priority (sd-daemon(3)), and has no time, because the
/// journal has that.
struct Journal;

/// The prefix of a line of this weight.
pub fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let prefix = priority(*event.metadata().level());
        text.lines().try_for_each(|line| writeln!(writer, "{prefix}{line}"))
    }
}
