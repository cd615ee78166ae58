use serde_json::json;

use super::*;

const N_7515: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const N_7520: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
const CLAIMS_7515: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const TEXT_7520: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

fn key(jwk: &Value) -> Option<Key> {
    Key::read(jwk.as_object().unwrap())
}

fn p256() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

/// RFC 7515, A.2 and A.3; RFC 7520, 4.2; RFC 8037, A.4.
#[test]
fn published_vectors() {
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    for (jwk, algorithm, message, signature) in [
        (
            json!({"kty": "RSA", "n": N_7515, "e": "AQAB"}),
            Rs256,
            format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS_7515}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            p256(),
            Es256,
            format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS_7515}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            json!({"kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "n": N_7520, "e": "AQAB"}),
            Ps384,
            format!("eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{TEXT_7520}"),
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
        (
            ed25519,
            EdDsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let (key, signature) = (key(&jwk).unwrap(), URL_SAFE_NO_PAD.decode(signature).unwrap());
        assert!(key.signed(algorithm, message.as_bytes(), &signature), "{algorithm:?}");
        assert!(!key.signed(algorithm, &message.as_bytes()[1..], &signature), "{algorithm:?}");
        for other in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, EdDsa] {
            assert_eq!(key.signed(other, message.as_bytes(), &signature), other == algorithm, "{other:?}");
        }
        for broken in [&signature[1..], &[], &[0; 64], &[signature.as_slice(), &[0]].concat()] {
            assert!(!key.signed(algorithm, message.as_bytes(), broken), "{algorithm:?}");
        }
    }
}

#[test]
fn keys_of_no_use_are_left_out() {
    let rsa = |n: &str, e: &str| json!({"kty": "RSA", "n": n, "e": e});
    let with = |name: &str, value: Value| {
        let mut jwk = p256();
        jwk[name] = value;
        jwk
    };
    for bad in [
        json!({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
        rsa(N_7515, "AQ"),
        rsa(N_7515, "Ag"),
        rsa(N_7515, ""),
        rsa(N_7515, "AQAAAAAAAAAB"),
        rsa("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp", "AQAB"),
        rsa(&URL_SAFE_NO_PAD.encode([0xff; 1025]), "AQAB"),
        rsa(&format!("{N_7515}="), "AQAB"),
        rsa("", "AQAB"),
        rsa("AAAA", "AQAB"),
        with("y", json!("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1")),
        with("y", json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")),
        with("x", json!(7)),
        with("x", Value::Null),
        with("crv", json!("P-384")),
        with("crv", json!("p-256")),
        with("use", json!("enc")),
        with("use", json!(["sig"])),
        with("key_ops", json!(["sign"])),
        with("key_ops", json!("verify")),
        with("alg", json!("HS256")),
        with("alg", json!("none")),
        with("alg", json!("RS256")),
        with("alg", json!("es256")),
        with("kid", json!(1)),
    ] {
        assert!(key(&bad).is_none(), "{bad}");
    }
    for good in [
        with("use", json!("sig")),
        with("key_ops", json!(["verify"])),
        with("alg", json!("ES256")),
        with("kid", json!("../../etc/passwd")),
        rsa(&URL_SAFE_NO_PAD.encode([vec![0], URL_SAFE_NO_PAD.decode(N_7515).unwrap()].concat()), "AAEAAQ"),
    ] {
        assert!(key(&good).is_some(), "{good}");
    }
}

#[test]
fn what_is_no_key_set_says_why() {
    let many = json!({"keys": vec![p256(); 101]}).to_string();
    for (text, want) in [
        ("", JwksError::Malformed),
        ("[]", JwksError::Malformed),
        ("{}", JwksError::Malformed),
        (r#"{"keys":{}}"#, JwksError::Malformed),
        (r#"{"keys":[],"keys":[]}"#, JwksError::Malformed),
        (r#"{"keys":[]}"#, JwksError::NoKey),
        (r#"{"keys":[7,null,{"kty":"oct","k":"AA"}]}"#, JwksError::NoKey),
        (many.as_str(), JwksError::TooLong),
        (&format!("{{\"x\":\"{}\"}}", "a".repeat(LONGEST)), JwksError::TooLong),
    ] {
        assert_eq!(Jwks::parse(text.as_bytes()).err(), Some(want), "{}", &text[..text.len().min(60)]);
    }
}
