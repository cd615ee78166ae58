//! A shared credentials file, of which static keys are read and nothing else.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use super::Keys;
use crate::model::Secret;

/// What would have to be run, asked or followed; only what stands there is taken.
const ELSEWHERE: [(&str, &str); 5] = [
    ("credential_process", "it starts a command: use a source with `command` for that"),
    ("sso_", "it signs in through a browser: use a source with `command`, such as aws configure export-credentials"),
    ("role_arn", "it takes a role: say `assume_role` in the connection"),
    ("web_identity_token_file", "it exchanges a token: use `web_identity`"),
    ("source_profile", "it goes by another profile: name that one"),
];

/// The keys of a profile; an error says what is wrong and quotes nothing.
pub(super) fn read(text: &Secret, name: &str) -> Result<Keys, String> {
    let text = text.expose_str().ok_or("the file is not UTF-8")?;
    let mut found: Option<Found<'_>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let line = line.trim_end();
        if line.trim().is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            is_inside = section.0.trim() == name;
            if is_inside && found.is_some() {
                return Err("it stands there twice".to_owned());
            }
            if is_inside {
                found = Some(Found::default());
            }
        } else if let (true, Some(found)) = (is_inside, found.as_mut()) {
            found.take(line)?;
        }
    }
    let found = found.ok_or("there is no such profile")?;
    let needed = |value: Option<&str>, key: &str| value.map(Secret::new).ok_or_else(|| format!("it has no {key}"));
    let access_key = needed(found.access_key, "aws_access_key_id")?;
    let secret_key = needed(found.secret_key, "aws_secret_access_key")?;
    Ok(Keys::new(access_key, secret_key, found.session_token.map(Secret::new)))
}

#[derive(Default)]
struct Found<'t> {
    access_key: Option<&'t str>,
    secret_key: Option<&'t str>,
    session_token: Option<&'t str>,
}

impl<'t> Found<'t> {
    fn take(&mut self, line: &'t str) -> Result<(), String> {
        // A line that is indented belongs to a setting with several, none of which is read.
        if line.starts_with([' ', '\t']) {
            return Ok(());
        }
        let (key, value) = line.split_once('=').ok_or("it has a line that is no setting")?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if let Some((_, why)) = ELSEWHERE.iter().find(|(other, _)| key.starts_with(other)) {
            return Err(format!("it says {key}, which is not followed: {why}"));
        }
        let place = match key.as_str() {
            "aws_access_key_id" => &mut self.access_key,
            "aws_secret_access_key" => &mut self.secret_key,
            "aws_session_token" => &mut self.session_token,
            _ => return Ok(()),
        };
        if place.is_some() {
            return Err(format!("it says {key} twice"));
        }
        *place = Some(value).filter(|value| !value.is_empty());
        Ok(())
    }
}
