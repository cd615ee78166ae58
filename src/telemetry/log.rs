use std::fs::File;
use std::io::IsTerminal;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// How the log looks and what it holds, each value read by the caller from wherever it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// One JSON object a line, for machines; otherwise a line for people.
    pub json: bool,
    /// A `tracing` filter such as `info` or `nexus_sidecar::proxy=debug`; `info` where none is
    /// given. The caps on noisy crates hold whatever it says.
    pub level: Option<String>,
    /// Whether colour is welcome (no `NO_COLOR`); it is used on a terminal alone.
    pub colour: bool,
}

/// Where log lines go.
#[derive(Debug)]
pub enum Sink {
    /// Standard error.
    Stderr,
    /// A file, appended to by one write a line.
    File(File),
}

/// What keeps a log from being started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("the log level {text:?} is not a filter: use error, warn, info, debug, trace, or target=level pairs")]
    Filter {
        /// What was given.
        text: String,
        /// Why it cannot be read, unless it is a bare word.
        #[source]
        source: Option<ParseError>,
    },
    /// This process has a log already.
    #[error("the log of this process was started before")]
    Started,
}

/// Starts the log of this process, once.
pub fn init(settings: &LogSettings, sink: Sink) -> Result<(), LogError> {
    match sink {
        Sink::Stderr => {
            let colour = settings.colour && std::io::stderr().is_terminal();
            start(subscriber(settings, colour, std::io::stderr)?)
        }
        Sink::File(file) => start(subscriber(settings, false, Arc::new(file))?),
    }
}

fn start(subscriber: impl Subscriber + Send + Sync) -> Result<(), LogError> {
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Started)
}

fn subscriber<W>(settings: &LogSettings, colour: bool, writer: W) -> Result<impl Subscriber + use<W>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let text = settings.level.as_deref().unwrap_or("info");
    let refused = |source| LogError::Filter { text: text.to_owned(), source };
    if text.split(',').any(is_no_level) {
        return Err(refused(None));
    }
    let chosen = EnvFilter::try_new(text).map_err(|source| refused(Some(source)))?;
    let lines = lines(settings.json, colour, writer).with_filter(chosen.and(filter_fn(is_within_caps)));
    Ok(tracing_subscriber::registry().with(lines))
}

/// A bare word would be taken as a target: a misspelled level would then silence the log.
fn is_no_level(part: &str) -> bool {
    let word = part.trim();
    !word.contains(['=', '[', ']', '{', '}']) && word.parse::<LevelFilter>().is_err()
}

fn lines<W>(json: bool, colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    Registry: for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    if json { layer.json().flatten_event(true).with_ansi(false).boxed() } else { layer.with_ansi(colour).boxed() }
}

/// Crates that print heads, tokens or keys when asked for detail: `warn` and worse is all that
/// they may say, whatever the filter names.
const CAPPED: [&str; 9] =
    ["hyper", "hyper_util", "h2", "rustls", "tokio_rustls", "oauth2", "tokio", "tokio_util", "mio"];

fn is_within_caps(metadata: &Metadata<'_>) -> bool {
    // An event may carry any target; the module that holds the call cannot be disguised.
    let capped = is_capped(metadata.target()) || metadata.module_path().is_some_and(is_capped);
    !capped || *metadata.level() <= Level::WARN
}

fn is_capped(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    name.starts_with("aws_") || CAPPED.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    fn logged(settings: &LogSettings, speak: impl FnOnce()) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let writer = Arc::new(file.try_clone().unwrap());
        tracing::subscriber::with_default(subscriber(settings, false, writer).unwrap(), speak);
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn settings(json: bool, level: &str) -> LogSettings {
        LogSettings { json, level: Some(level.to_owned()), colour: true }
    }

    #[test]
    fn json_lines_are_json() {
        let text = logged(&settings(true, "info"), || tracing::info!(port = 1, "listening"));
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["port"], 1);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn human_lines_in_a_file_have_no_colour() {
        let text = logged(&settings(false, "info"), || {
            tracing::info!("listening");
            tracing::debug!("hidden");
        });
        assert!(text.contains("listening") && !text.contains("hidden") && !text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn no_filter_lifts_a_cap() {
        for level in ["trace", "trace,hyper::proto=trace,h2=trace,aws_sigv4=trace,rustls=trace"] {
            let text = logged(&settings(false, level), || {
                tracing::debug!(target: "hyper::proto::h1", "sekret-1");
                tracing::info!(target: "h2", "sekret-2");
                tracing::trace!(target: "aws_sigv4::http_request", "sekret-3");
                tracing::info!(target: "rustls::client", "sekret-4");
                tracing::warn!(target: "hyper", "kept-1");
                tracing::debug!(target: "hyperbole", "kept-2");
            });
            assert!(!text.contains("sekret"), "{level}: {text}");
            assert!(text.contains("kept-1") && text.contains("kept-2"), "{level}: {text}");
        }
    }

    #[test]
    fn a_near_miss_of_a_capped_name_is_not_capped() {
        for (target, expected) in
            [("hyper", true), ("hyper::x", true), ("hyperbole", false), ("aws_x", true), ("nexus_sidecar", false)]
        {
            assert_eq!(is_capped(target), expected, "{target}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused_with_its_text() {
        for text in ["loud", "hyper=loud", "a=b=c", "info,infoo"] {
            let error = subscriber(&settings(false, text), false, std::io::stderr).err().unwrap();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
