//! What of the caller's environment a command does not get.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use memchr::memmem;
use zeroize::Zeroizing;

use super::credential;
use super::variables::{self, VARIABLES};
use crate::cli::failure::Failure;

/// Variables by name.
pub(in crate::cli) type Variables = BTreeMap<OsString, OsString>;

/// The sidecar's own settings.
const OURS: &[u8] = b"NEXUS_";

/// What git reads instead of a setting that is withheld: the settings are counted, so that one
/// cannot be left out.
const GIT_NOTHING: &str = "nexus-sidecar.withheld";

/// A value of fewer bytes is too likely to stand in another by chance.
const SHORTEST_COPY: usize = 12;

/// Decides what is withheld: every credential but those that `--keep` names, always what a key or
/// a field was read from, and what holds a copy of that.
#[derive(Debug, Default)]
pub(in crate::cli) struct Withheld {
    kept: Vec<String>,
    read: Vec<String>,
}

impl Withheld {
    /// `kept` as `--keep` names them; `read` are the variables that the sidecar reads a key or a
    /// field from. Refuses to keep what must not be.
    pub(in crate::cli) fn new(kept: Vec<String>, read: Vec<String>) -> Result<Self, Failure> {
        for name in &kept {
            if name.is_empty() || name.contains('=') {
                // What was given may hold a value, and is not repeated.
                return Err(Failure::usage("--keep takes the name of a variable alone, such as --keep SSH_AUTH_SOCK"));
            }
            if let Some(why) = never_kept(name, &read) {
                return Err(Failure::usage(format!("--keep {name}: {why}")));
            }
        }
        Ok(Self { kept, read })
    }

    /// The names that are to be kept and are not set.
    pub(in crate::cli) fn not_set(&self, inherited: &Variables) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str).filter(|name| !inherited.contains_key(OsStr::new(name)))
    }

    /// Tells whether `--keep` might have kept one of these.
    pub(in crate::cli) fn could_keep(&self, names: &[String]) -> bool {
        names.iter().any(|name| never_kept(name, &self.read).is_none())
    }

    /// Tells whether `--keep` names it.
    pub(in crate::cli) fn keeps(&self, name: &OsStr) -> bool {
        self.kept.iter().any(|kept| kept.as_bytes() == name.as_bytes())
    }

    /// The value of a variable, unless it is withheld.
    pub(in crate::cli) fn passes(&self, inherited: &Variables, name: &str) -> Option<OsString> {
        let (name, value) = inherited.get_key_value(OsStr::new(name))?;
        (!self.withholds(name, value, &self.values(inherited))).then(|| value.clone())
    }

    /// Takes out of an environment what is withheld. Answers the names of credentials among it, in
    /// order; empty ones and the sidecar's own settings go without a word.
    pub(in crate::cli) fn take(&self, environment: &mut Variables) -> Vec<String> {
        let copied = self.values(environment);
        let git = GitSettings::find(environment, self, &copied);
        let taken = environment.extract_if(.., |name, value| self.withholds(name, value, &copied));
        let mut names: Vec<String> =
            taken.filter(|(name, value)| !is_ours(name) && !value.is_empty()).map(|(name, _)| shown(&name)).collect();
        names.extend(git.replace(environment));
        names.sort();
        names
    }

    /// Every name that is taken away: those that are known, and what else an environment holds.
    pub(in crate::cli) fn taken_away(&self, mut environment: Variables) -> Vec<String> {
        let known = credential::known_names().chain(variables::absent()).map(str::to_owned);
        let known: Vec<String> = known.filter(|name| !self.keeps(OsStr::new(name))).collect();
        let mut names = self.take(&mut environment);
        // Ours in another case; what has our own spelling is set, or known to be taken away.
        let leads_past = |name: &OsString| {
            VARIABLES.iter().any(|known| known.is(name)) && !VARIABLES.iter().any(|known| *name == *known.name)
        };
        names.extend(environment.keys().filter(|name| leads_past(name)).map(|name| shown(name)));
        names.extend(known);
        // A setting of git cannot be left out of those that are counted.
        names.retain(|name| !is_git_setting(name.as_bytes()));
        names.sort();
        names.dedup();
        names
    }

    /// What a key or a field was read from: a credential under whatever name it stands.
    fn values(&self, environment: &Variables) -> Copied {
        let values = self.read.iter().filter_map(|name| environment.get(OsStr::new(name)));
        let values = values.map(|value| Zeroizing::new(value.as_bytes().trim_ascii().to_vec()));
        Copied(values.filter(|value| value.len() >= SHORTEST_COPY).collect())
    }

    fn withholds(&self, name: &OsStr, value: &OsStr, copied: &Copied) -> bool {
        let bytes = name.as_bytes();
        if is_ours(name) || self.read.iter().any(|read| read.as_bytes() == bytes) {
            return true;
        }
        if self.keeps(name) || is_git_setting(bytes) {
            return false;
        }
        let value = value.as_bytes();
        let has_header = || bytes == b"GIT_CONFIG_PARAMETERS" && holds_header(value);
        credential::is_named(bytes) || credential::is_in(value) || copied.are_in(value) || has_header()
    }
}

/// Values that no variable hands on.
struct Copied(Vec<Zeroizing<Vec<u8>>>);

impl Copied {
    fn are_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|value| memmem::find(text, value).is_some())
    }
}

/// Tells whether settings of git hold a header of requests.
fn holds_header(settings: &[u8]) -> bool {
    memmem::find(&settings.to_ascii_lowercase(), b".extraheader").is_some()
}

/// Why a variable cannot be kept, if it cannot.
fn never_kept(name: &str, read: &[String]) -> Option<&'static str> {
    if name.as_bytes().starts_with(OURS) {
        return Some("the sidecar's own settings are not for the command");
    }
    if read.iter().any(|read| read == name) {
        return Some("the sidecar reads a credential from it, which the command must not have");
    }
    if name.eq_ignore_ascii_case("no_proxy") {
        return Some("what the command reaches without the sidecar is said with --no-proxy HOST");
    }
    let ours = VARIABLES.iter().any(|known| known.name.eq_ignore_ascii_case(name));
    ours.then_some("the sidecar decides it, so that requests go through it and its certificates are trusted")
}

fn is_ours(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OURS)
}

/// A name as it may stand on a terminal.
fn shown(name: &OsStr) -> String {
    name.to_string_lossy().escape_debug().to_string()
}

fn is_git_setting(name: &[u8]) -> bool {
    name.starts_with(b"GIT_CONFIG_KEY_") || name.starts_with(b"GIT_CONFIG_VALUE_")
}

/// Settings that git takes from `GIT_CONFIG_KEY_n` and `GIT_CONFIG_VALUE_n`, and that hold a
/// credential.
struct GitSettings(Vec<(OsString, OsString)>);

impl GitSettings {
    fn find(environment: &Variables, withheld: &Withheld, copied: &Copied) -> Self {
        let pair = |key_name: &OsString| {
            let number = key_name.as_bytes().strip_prefix(b"GIT_CONFIG_KEY_")?;
            let mut value_name = OsString::from("GIT_CONFIG_VALUE_");
            value_name.push(OsStr::from_bytes(number));
            Some((key_name.clone(), value_name))
        };
        let pairs = environment.keys().filter_map(pair);
        let holds = |(key_name, value_name): &(OsString, OsString)| {
            let text = |name: &OsString| environment.get(name).map_or(&b""[..], |value| value.as_bytes());
            let (key, value) = (text(key_name), text(value_name));
            let header = holds_header(key) || copied.are_in(value);
            let kept = withheld.keeps(key_name) || withheld.keeps(value_name);
            !kept && (header || credential::is_in(key) || credential::is_in(value))
        };
        Self(pairs.filter(holds).collect())
    }

    /// Puts a setting without a meaning in their place.
    fn replace(self, environment: &mut Variables) -> Vec<String> {
        let mut names = Vec::new();
        for (key, value) in self.0 {
            names.push(shown(&value));
            environment.insert(key, GIT_NOTHING.into());
            environment.insert(value, OsString::new());
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn withheld(kept: &[&str], read: &[&str]) -> Withheld {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Withheld::new(owned(kept), owned(read)).unwrap()
    }

    fn taken(kept: &[&str], read: &[&str], pairs: &[(&str, &str)]) -> (Vec<String>, Variables) {
        let mut environment = variables(pairs);
        (withheld(kept, read).take(&mut environment), environment)
    }

    #[test]
    fn credentials_are_taken_and_named_and_nothing_else_is() {
        let (names, left) = taken(
            &[],
            &["PAT"],
            &[
                ("GH_TOKEN", "x"),
                ("HOME", "/home/a"),
                ("NEXUS_TOKEN", "x"),
                ("NEXUSES", "stays"),
                ("PAT", "x"),
                ("PATS", "stays"),
                ("PIP_INDEX_URL", "https://u:p@pypi.test/simple"),
                ("npm_config_//r/:_authToken", "x"),
            ],
        );
        assert_eq!(names, ["GH_TOKEN", "PAT", "PIP_INDEX_URL", "npm_config_//r/:_authToken"]);
        assert_eq!(left, variables(&[("HOME", "/home/a"), ("NEXUSES", "stays"), ("PATS", "stays")]));
    }

    #[test]
    fn a_copy_of_what_a_field_was_read_from_is_one_under_any_name() {
        let secret = "0123456789ab";
        let of = |pat: &str| {
            let url = format!("token={secret}&x");
            let pairs =
                [("PAT", pat), ("MY_COPY", secret), ("QUERY", &url), ("OTHER", "0123456789aB"), ("KEPT", secret)];
            taken(&["KEPT"], &["PAT"], &pairs).0
        };
        assert_eq!(of(&format!("{secret}\n")), ["MY_COPY", "PAT", "QUERY"]);
        assert_eq!(of(&secret[1..]), ["PAT"], "too short to be told from chance");
        assert_eq!(of(""), [""; 0]);
        let git = [
            ("PAT", secret),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "a.b"),
            ("GIT_CONFIG_VALUE_0", secret),
            ("GIT_CONFIG_PARAMETERS", "'http.extraHeader'='X-Key: y'"),
        ];
        let (names, left) = taken(&[], &["PAT"], &git);
        assert_eq!(names, ["GIT_CONFIG_PARAMETERS", "GIT_CONFIG_VALUE_0", "PAT"]);
        assert!(!format!("{left:?}").contains(secret));
    }

    #[test]
    fn keep_keeps_one_name_exactly() {
        let (names, left) = taken(&["GH_TOKEN"], &[], &[("GH_TOKEN", "a"), ("gh_token", "b"), ("GITHUB_TOKEN", "c")]);
        assert_eq!(names, ["GITHUB_TOKEN", "gh_token"]);
        assert_eq!(left, variables(&[("GH_TOKEN", "a")]));
    }

    #[test]
    fn what_must_not_be_kept_is_refused_with_the_reason() {
        for (name, reason) in [
            ("NEXUS_KEY", "own settings"),
            ("PAT", "reads a credential from it"),
            ("HTTPS_PROXY", "decides it"),
            ("npm_config_CAFILE", "decides it"),
            ("NO_PROXY", "--no-proxy HOST"),
            ("", "name of a variable alone"),
            ("GH_TOKEN=canary", "name of a variable alone"),
        ] {
            let failure = Withheld::new(vec![name.to_owned()], vec!["PAT".to_owned()]).unwrap_err();
            assert!(failure.message().contains(reason), "{name}: {}", failure.message());
            assert!(!failure.message().contains("canary") && failure.code() == 2);
        }
    }

    #[test]
    fn what_is_taken_away_is_known_without_being_set() {
        let set = [("My_Url", "https://u:p@h/"), ("NPM_CONFIG_PROXY", "x"), ("HTTP_PROXY", "x"), ("HOME", "/")];
        let names = withheld(&["GH_TOKEN"], &[]).taken_away(variables(&set));
        for name in ["GITHUB_TOKEN", "SSH_AUTH_SOCK", "SSL_CERT_DIR", "PIP_PROXY", "NPM_CONFIG_PROXY", "My_Url"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        for name in ["GH_TOKEN", "HTTP_PROXY", "HOME"] {
            assert!(!names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_kept_and_not_set_is_noticed() {
        let keep = withheld(&["A", "B"], &[]);
        assert_eq!(keep.not_set(&variables(&[("A", "")])).collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn a_setting_of_git_is_replaced_in_its_place() {
        let settings = [
            ("GIT_CONFIG_COUNT", "3"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
            ("GIT_CONFIG_KEY_1", "http.https://github.com/.extraHeader"),
            ("GIT_CONFIG_VALUE_1", "X-Key: canary"),
            ("GIT_CONFIG_KEY_2", "url.https://u:canary@github.com/.insteadOf"),
            ("GIT_CONFIG_VALUE_2", "gh:"),
        ];
        let (names, left) = taken(&[], &[], &settings);
        assert_eq!(names, ["GIT_CONFIG_VALUE_1", "GIT_CONFIG_VALUE_2"]);
        assert!(!format!("{left:?}").contains("canary"));
        assert_eq!(left.len(), settings.len(), "git counts them");
        assert_eq!(left[OsStr::new("GIT_CONFIG_KEY_1")], GIT_NOTHING);
        assert_eq!(left[OsStr::new("GIT_CONFIG_VALUE_0")], "*");
        let (names, left) = taken(&["GIT_CONFIG_VALUE_1"], &[], &settings);
        assert_eq!((names.len(), &left[OsStr::new("GIT_CONFIG_VALUE_1")]), (1, &OsString::from("X-Key: canary")));
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        let (names, _) = taken(&[], &[], &[("A\u{1b}[2J\n", "https://u:p@h/")]);
        assert_eq!(names, ["A\\u{1b}[2J\\n"]);
    }
}
