//! Structure is a test: layers, fences, lengths. Read as text; a break names its file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module imports only from those to its left.
const LAYERS: [&str; 20] = [
    "model",
    "telemetry",
    "config",
    "sign",
    "tls",
    "dial",
    "identity",
    "policy",
    "audit",
    "admission",
    "lease",
    "strategy",
    "proxy",
    "authority",
    "kube",
    "app",
    "demo",
    "cli",
    "main",
    "lib",
];

/// What appears only in these places, and why it would be wrong elsewhere.
const FENCES: [(&str, &[&str]); 17] = [
    ("hyper::server", &["proxy/", "authority/api/", "demo/"]),
    ("TcpStream::connect", &["dial/"]),
    ("UnixStream::connect", &["dial/"]),
    ("tokio_postgres::", &["authority/store/postgres/"]),
    ("rcgen::", &["tls/"]),
    ("use aws_sigv4::", &["sign/"]),
    ("serde_yaml::", &["config/"]),
    ("saphyr_parser::", &["config/"]),
    ("clap::", &["cli/", "main.rs"]),
    ("std::env::", &["config/", "cli/"]),
    ("println!", &["cli/"]),
    ("rusqlite::", &["authority/"]),
    ("use oauth2::", &["authority/oauth2/"]),
    (".expose()", EXPOSE),
    (".expose_str()", EXPOSE),
    ("SystemTime::now()", &["telemetry/clock.rs"]),
    ("process::exit", &["cli/"]),
];

const EXPOSE: &[&str] =
    &["model/secret.rs", "sign/", "strategy/", "lease/", "authority/", "identity/", "tls/", "dial/"];

/// Rooms that are pure: no waiting, no clock, no randomness.
const PURE: [(&str, &[&str]); 4] = [
    ("model/", &["async ", ".await", "Instant::now", "rand::"]),
    ("sign/", &["async ", ".await", "Instant::now", "rand::"]),
    ("policy/", &["async ", ".await", "Instant::now", "rand::"]),
    ("strategy/", &["async ", ".await", "Instant::now", "rand::"]),
];

const MAX_CODE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

/// A file of `src`, its tests and comments cut.
struct Source {
    name: String,
    code: Vec<String>,
}

#[test]
fn layers_hold() {
    let mut broken = Vec::new();
    for source in sources() {
        let own = layer(&source.name);
        for (number, line) in source.code.iter().enumerate() {
            for part in line.split("crate::").skip(1) {
                let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let imported = LAYERS.iter().position(|layer| *layer == name);
                if let (Some(own), Some(imported)) = (own, imported)
                    && imported > own
                {
                    broken.push(format!("{}:{}: imports {name}, which stands to its right", source.name, number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn narrower_walls_hold() {
    let mut broken = Vec::new();
    for source in sources() {
        let forbidden: &[&str] = match source.name.split('/').next().unwrap_or_default() {
            "proxy" => &["crate::authority"],
            "authority" => &["crate::proxy", "crate::strategy"],
            "policy" => &["crate::tls", "crate::dial", "crate::sign", "crate::telemetry"],
            _ => &[],
        };
        for name in forbidden {
            if source.code.iter().any(|line| line.contains(name)) {
                broken.push(format!("{}: imports {name}", source.name));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn fences_hold() {
    let mut broken = Vec::new();
    for source in sources() {
        for (what, allowed) in FENCES {
            if !allowed.iter().any(|place| source.name.starts_with(place)) {
                broken.extend(found(&source, what));
            }
        }
        for (room, forbidden) in PURE {
            if source.name.starts_with(room) {
                broken.extend(forbidden.iter().flat_map(|what| found(&source, what)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_and_functions_fit_on_a_screen() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.code.iter().filter(|line| !line.trim().is_empty()).count();
        if lines > MAX_CODE_LINES {
            broken.push(format!("{}: {lines} lines of code, of {MAX_CODE_LINES}", source.name));
        }
        broken.extend(long_functions(&source));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_file_is_named_for_nothing() {
    for source in sources() {
        for word in ["utils", "util", "helpers", "common", "manager", "context", "misc"] {
            assert!(!source.name.split(['/', '.']).any(|part| part == word), "{} is named {word}", source.name);
        }
    }
}

/// The test can fail: each rule finds what it is there for.
#[test]
fn the_rules_see_what_they_are_there_for() {
    let bad = Source {
        name: "policy/x.rs".into(),
        code: vec!["use crate::proxy::Front;".into(), "let t = rcgen::x();".into()],
    };
    assert_eq!(layer(&bad.name), Some(7));
    assert_eq!(found(&bad, "rcgen::").len(), 1);
    let mut long = vec!["fn long() {".to_owned()];
    long.extend(vec!["    step();".to_owned(); MAX_FUNCTION_LINES + 1]);
    long.push("}".to_owned());
    assert_eq!(long_functions(&Source { name: "x.rs".into(), code: long }).len(), 1);
    assert!(sources().len() > 50);
}

fn found(source: &Source, what: &str) -> Vec<String> {
    let hits = source.code.iter().enumerate().filter(|(_, line)| line.contains(what));
    hits.map(|(number, _)| format!("{}:{}: {what} does not belong here", source.name, number + 1)).collect()
}

fn layer(name: &str) -> Option<usize> {
    let room = name.split(['/', '.']).next().unwrap_or_default();
    LAYERS.iter().position(|layer| *layer == room)
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in source.code.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match &open {
            Some((start, depth, name)) if indent == *depth && line.trim() == "}" => {
                let body = source.code[*start + 1..number].iter().filter(|line| !line.trim().is_empty()).count();
                if body > MAX_FUNCTION_LINES {
                    broken.push(format!(
                        "{}:{}: {name} has {body} lines, of {MAX_FUNCTION_LINES}",
                        source.name,
                        start + 1
                    ));
                }
                open = None;
            }
            None if is_function(line) => open = Some((number, indent, line.trim().to_owned())),
            _ => {}
        }
    }
    broken
}

fn is_function(line: &str) -> bool {
    let words = [
        "fn ",
        "pub fn ",
        "async fn ",
        "pub async fn ",
        "pub(crate) fn ",
        "pub(super) fn ",
        "pub(crate) async fn ",
        "pub(super) async fn ",
        "const fn ",
        "pub const fn ",
    ];
    words.iter().any(|word| line.trim_start().starts_with(word)) && line.trim_end().ends_with('{')
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeSet::new();
    collect(&root, &mut files);
    files.iter().filter_map(|file| read(&root, file)).collect()
}

fn collect(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path);
        }
    }
}

/// Reads a file without its tests and comments; a file of tests is left out.
fn read(root: &Path, file: &Path) -> Option<Source> {
    let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    let stem = file.file_stem().unwrap().to_string_lossy();
    let parents: Vec<_> = name.split('/').collect();
    if stem == "tests"
        || stem.ends_with("_tests")
        || stem == "for_tests"
        || stem == "verifier"
        || stem == "suite"
        || parents.contains(&"tests")
    {
        return None;
    }
    let text = std::fs::read_to_string(file).unwrap();
    let mut code = Vec::new();
    for line in text.lines() {
        if line.trim() == "#[cfg(test)]"
            && !text.split(line).nth(1).unwrap_or_default().trim_start().starts_with("mod for_tests;")
        {
            // Tests stand at the bottom, but for a line that declares a module of them.
            let rest: Vec<_> = text
                .split("#[cfg(test)]")
                .nth(1)
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            if rest.first().is_some_and(|line| line.ends_with('{')) && rest[0].starts_with("mod ") {
                break;
            }
        }
        let comment = line.trim_start().starts_with("//");
        code.push(if comment { String::new() } else { line.to_owned() });
    }
    Some(Source { name, code })
}
