use proptest::prelude::*;
use serde_json::json;

use super::for_tests::{Signer, encode, jwks};
use super::*;

const NOW: i64 = 1_800_000_000;
const EXPECTED: Expected<'_> = Expected { issuer: "https://issuer.test", audience: "nexus", now: NOW };

fn claims() -> Value {
    json!({"iss": "https://issuer.test", "aud": ["other", "nexus"], "sub": "system:serviceaccount:agents:bot",
        "exp": NOW + 600, "nbf": NOW - 5, "iat": NOW - 5,
        "kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "bot"}, "a/b~c": 7}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn verify(token: &str, keys: &Jwks) -> Result<Claims, JwtError> {
    Unverified::parse(token.as_bytes())?.verify(keys, &EXPECTED)
}

fn set(signers: &[&Signer]) -> Jwks {
    Jwks::parse(&jwks(signers)).unwrap()
}

#[test]
fn every_algorithm_of_a_key_is_accepted_and_no_other() {
    let rsa = Signer::rsa("r");
    let keys = set(&[&rsa]);
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let header = json!({"alg": algorithm, "kid": "r", "typ": "JWT"}).to_string();
        assert!(verify(&rsa.sign(&header, &claims().to_string()), &keys).is_ok(), "{algorithm}");
    }
    for signer in [Signer::p256("e"), Signer::p384("e"), Signer::ed25519("e")] {
        assert!(verify(&signer.token(&claims()), &set(&[&rsa, &signer])).is_ok());
        assert_eq!(verify(&signer.token(&claims()), &keys).unwrap_err(), JwtError::UnknownKey);
    }
    let mut narrow = rsa.jwk();
    narrow["alg"] = json!("PS256");
    let narrow = Jwks::parse(json!({"keys": [narrow]}).to_string().as_bytes()).unwrap();
    assert_eq!(verify(&rsa.token(&claims()), &narrow).unwrap_err(), JwtError::NoFittingKey);
}

/// RFC 8725, section 2: what tokens were forged with.
#[test]
fn forged_headers_are_refused() {
    let (signer, other) = (Signer::p256("k"), Signer::p256("k"));
    let keys = set(&[&signer]);
    let with_header = |header: &str| verify(&signer.sign(header, &claims().to_string()), &keys).err();
    for (header, want) in [
        (r#"{"alg":"ES256","kid":"k"}"#, None),
        (r#"{"alg":"ES256","kid":"k","typ":"jwt"}"#, None),
        (r#"{"alg":"ES256","kid":"k","typ":"application/at+JWT"}"#, None),
        (r#"{"alg":"ES256"}"#, None),
        (r#"{"alg":"none","kid":"k"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"None"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"es256"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":""}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"HS256","kid":"k"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"HS512"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"ES512"}"#, Some(JwtError::Algorithm)),
        (r#"{"alg":"RS256","kid":"k"}"#, Some(JwtError::NoFittingKey)),
        (r#"{"alg":"ES384","kid":"k"}"#, Some(JwtError::NoFittingKey)),
        (r#"{"alg":"EdDSA"}"#, Some(JwtError::NoFittingKey)),
        (r#"{"alg":"ES256","kid":"../../../dev/null"}"#, Some(JwtError::UnknownKey)),
        (r#"{"alg":"ES256","kid":"k' OR '1'='1"}"#, Some(JwtError::UnknownKey)),
        (r#"{"alg":"ES256","kid":"K"}"#, Some(JwtError::UnknownKey)),
        (r#"{"alg":"ES256","kid":""}"#, Some(JwtError::UnknownKey)),
        (r#"{"alg":"ES256","kid":null}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","kid":["k"]}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","kid":"k","crit":["exp"],"exp":1}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","kid":"k","crit":[]}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","kid":"k","b64":false}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","kid":"k","zip":"DEF"}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","alg":"ES256","kid":"k"}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","\u0061lg":"none"}"#, Some(JwtError::Malformed)),
        (r#"{"alg":["ES256"]}"#, Some(JwtError::Malformed)),
        (r#"{"kid":"k"}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","typ":"logout+jwt"}"#, Some(JwtError::Malformed)),
        (r#"{"alg":"ES256","typ":7}"#, Some(JwtError::Malformed)),
        (r#"["ES256"]"#, Some(JwtError::Malformed)),
        ("", Some(JwtError::Malformed)),
    ] {
        assert_eq!(with_header(header), want, "{header}");
    }
    // A key that the token brings along is not looked at.
    let own = json!({"alg": "ES256", "kid": "k", "jwk": other.jwk(), "jku": "https://evil.test/jwks"}).to_string();
    assert_eq!(verify(&other.sign(&own, &claims().to_string()), &keys).unwrap_err(), JwtError::Signature);
    // The public key as a shared secret.
    let header = encode(br#"{"alg":"HS256","kid":"k"}"#);
    let signed = format!("{header}.{}", encode(claims().to_string().as_bytes()));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &jwks(&[&signer]));
    let forged = format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&secret, signed.as_bytes()).as_ref()));
    assert_eq!(verify(&forged, &keys).unwrap_err(), JwtError::Algorithm);
    assert_eq!(verify(&format!("{signed}."), &keys).unwrap_err(), JwtError::Algorithm);
}

#[test]
fn a_token_has_one_spelling() {
    let signer = Signer::ed25519("k");
    let keys = set(&[&signer]);
    let token = signer.token(&claims());
    let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    // 64 bytes leave four bits of the last letter: all but one of its spellings say something more.
    let (front, last) = signature.split_at(signature.len() - 1);
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = letters.as_bytes()[letters.find(last).unwrap() + 1] as char;
    for bad in [
        format!("{header}.{body}.{front}{next}"),
        format!("{header}.{body}.{signature}="),
        format!("{header}.{body}.{signature}=="),
        format!("{header}.{body}.{signature}\n"),
        format!(" {header}.{body}.{signature}"),
        format!("{header}.{body}.{}+", &signature[1..]),
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{header}.{body}.{signature}."),
        format!("{header}.{body}.{signature}.{body}.{header}"),
        "..".to_owned(),
        String::new(),
        format!("{header}.{}.{signature}", "A".repeat(LONGEST)),
    ] {
        assert_eq!(verify(&bad, &keys).unwrap_err(), JwtError::Malformed, "{}", &bad[..bad.len().min(400)]);
    }
    for changed in [
        format!("{header}.{}.{signature}", encode(with("sub", json!("root")).to_string().as_bytes())),
        format!("{header}.{body}."),
        format!("{header}.{body}.{}", encode(&[0; 64])),
    ] {
        assert_eq!(verify(&changed, &keys).unwrap_err(), JwtError::Signature);
    }
}

#[test]
fn claims_say_for_whom_and_when() {
    let signer = Signer::ed25519("k");
    let keys = set(&[&signer]);
    for (name, value, want) in [
        ("aud", json!("nexus"), None),
        ("aud", json!("Nexus"), Some(JwtError::Audience)),
        ("aud", json!("nexus "), Some(JwtError::Audience)),
        ("aud", json!([]), Some(JwtError::Audience)),
        ("aud", json!([["nexus"]]), Some(JwtError::Audience)),
        ("aud", json!({"nexus": 1}), Some(JwtError::Audience)),
        ("aud", Value::Null, Some(JwtError::Audience)),
        ("iss", json!("https://issuer.test/"), Some(JwtError::Issuer)),
        ("iss", json!("HTTPS://issuer.test"), Some(JwtError::Issuer)),
        ("iss", json!(["https://issuer.test"]), Some(JwtError::Issuer)),
        ("exp", json!(NOW + 1), None),
        ("exp", json!(NOW as f64 + 0.5), None),
        ("exp", json!(NOW), Some(JwtError::Expired)),
        ("exp", json!(0), Some(JwtError::Expired)),
        ("exp", json!(-1), Some(JwtError::Malformed)),
        ("exp", json!(1e300), Some(JwtError::Malformed)),
        ("exp", json!(u64::MAX), Some(JwtError::Malformed)),
        ("exp", json!(NOW * 1000), Some(JwtError::Malformed)),
        ("exp", json!((NOW + 5).to_string()), Some(JwtError::Malformed)),
        ("exp", Value::Null, Some(JwtError::Malformed)),
        ("nbf", json!(NOW + 60), None),
        ("nbf", json!(NOW + 61), Some(JwtError::NotYet)),
        ("nbf", json!("soon"), Some(JwtError::Malformed)),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), Some(JwtError::NotYet)),
        ("iat", json!(true), Some(JwtError::Malformed)),
    ] {
        let token = signer.token(&with(name, value.clone()));
        assert_eq!(verify(&token, &keys).err(), want, "{name}: {value}");
    }
    for absent in ["exp", "aud", "iss"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(absent);
        assert!(verify(&signer.token(&claims), &keys).is_err(), "{absent}");
    }
    let header = r#"{"alg":"EdDSA"}"#;
    for claims in [r#"{"iss":"a","iss":"https://issuer.test"}"#, "[]", "\"x\"", "{\"exp\":1e999}", "\u{feff}{}"] {
        assert_eq!(verify(&signer.sign(header, claims), &keys).unwrap_err(), JwtError::Malformed, "{claims}");
    }
}

#[test]
fn without_a_key_id_only_one_key_may_fit() {
    let (one, two, other) = (Signer::p256("a"), Signer::p256("b"), Signer::ed25519("c"));
    let token = one.sign(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert!(verify(&token, &set(&[&one, &other])).is_ok());
    assert_eq!(verify(&token, &set(&[&one, &two])).unwrap_err(), JwtError::NoFittingKey);
    assert_eq!(verify(&token, &set(&[&two])).unwrap_err(), JwtError::Signature);
    assert_eq!(verify(&token, &set(&[&other])).unwrap_err(), JwtError::NoFittingKey);
}

#[test]
fn claims_are_found_by_name_and_by_pointer() {
    let signer = Signer::ed25519("k");
    let claims = verify(&signer.token(&claims()), &set(&[&signer])).unwrap();
    assert_eq!(claims.subject(), Some("system:serviceaccount:agents:bot"));
    for (path, want) in [
        ("sub", Some(json!("system:serviceaccount:agents:bot"))),
        ("/kubernetes.io/namespace", Some(json!("agents"))),
        ("/kubernetes.io/serviceaccount/name", Some(json!("bot"))),
        ("/kubernetes.io/a~1b~0c", Some(json!(7))),
        ("kubernetes.io/namespace", None),
        ("/aud/0", None),
        ("/kubernetes.io/namespace/x", None),
        ("/", None),
        ("", None),
    ] {
        assert_eq!(claims.at(path).cloned(), want, "{path}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_panic(token in proptest::collection::vec(any::<u8>(), 0..200), set in ".{0,80}") {
        let _ = Jwks::parse(set.as_bytes());
        let _ = Unverified::parse(&token);
    }

    #[test]
    fn nothing_near_a_token_is_one(at in 0_usize..2000, byte in any::<u8>()) {
        let signer = SIGNER.get_or_init(|| Signer::ed25519("k"));
        let mut token = signer.token(&claims()).into_bytes();
        let at = at % token.len();
        prop_assume!(token[at] != byte);
        token[at] = byte;
        let keys = set(&[signer]);
        let verified = Unverified::parse(&token).and_then(|token| token.verify(&keys, &EXPECTED));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn any_header_and_claims_are_answered(header in r#"\{("(alg|kid|typ|crit)":("[A-Z0-9]{0,5}"|[0-9]{1,3}|\[\])(,|)){0,3}\}"#, claims in r#"\{("(iss|aud|exp|nbf)":("[a-z]{0,5}"|[0-9e]{1,9}|null),?){0,3}\}"#) {
        let signer = SIGNER.get_or_init(|| Signer::ed25519("k"));
        prop_assert!(verify(&signer.sign(&header, &claims), &set(&[signer])).is_err());
    }
}

static SIGNER: std::sync::OnceLock<Signer> = std::sync::OnceLock::new();
