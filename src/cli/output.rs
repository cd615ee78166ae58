//! Standard output, as every command writes to it.

use std::io::{self, Write};

use serde_json::Value;

use super::failure::Failure;

/// Writes to standard output. A reader that went away (`| head`) has read enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes JSON for people too: one member a line.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::because(&error))?;
    print(&format!("{text}\n"))
}

/// Lines up cells in columns, two blanks between them; nothing stands behind the last.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Escapes what a terminal obeys or what turns the order of text around: what is shown quotes agents
/// and services.
pub(super) fn safe(text: &str) -> String {
    let obeyed = |char: char| {
        char.is_control() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if obeyed(char) { safe.extend(char.escape_unicode()) } else { safe.push(char) }
    }
    safe
}
