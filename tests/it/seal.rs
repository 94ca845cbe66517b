//! Sealed values, opened by another implementation than the one that sealed them, as the controller would open them.

use crate::support::controller::{Controller, openssl};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubeops::seal::{MAX_VALUE_BYTES, Scope, SealError, SealingKey, seal};
use kubeops::types::ErrorClass;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

const STRICT: Scope<'_> = Scope::Strict { namespace: "payments", name: "ledger" };

static CONTROLLER: LazyLock<Controller> = LazyLock::new(|| Controller::new(&["-newkey", "rsa:2048"]).expect("a controller"));

fn sealing_key() -> SealingKey {
    SealingKey::new(&[7; 32]).expect("a key")
}

fn sealed(scope: Scope<'_>, key: &str, value: &[u8]) -> String {
    seal(&CONTROLLER.certificate, &sealing_key(), scope, key, value).expect("sealed")
}

#[test]
fn the_controller_opens_what_was_sealed_with_keys_of_every_size() {
    for bits in ["2048", "3072", "4096"] {
        let controller = Controller::new(&["-newkey", &format!("rsa:{bits}")]).expect("a controller");
        let text = seal(&controller.certificate, &sealing_key(), STRICT, "password", b"hunter2").expect("sealed");
        assert_eq!(controller.open(&text, "payments/ledger").as_deref(), Some(&b"hunter2"[..]), "{bits}");
        let (length, bytes) = (bits.parse::<usize>().expect("a number") / 8, STANDARD.decode(&text).expect("base64"));
        assert_eq!((usize::from(bytes[0]) * 256 + usize::from(bytes[1]), bytes.len()), (length, 2 + length + b"hunter2".len() + 16));
        assert!(controller.certificate.not_after() > 1_700_000_000);
    }
}

#[test]
fn openssl_unwraps_the_same_session_key_bound_to_the_same_label() {
    let bytes = STANDARD.decode(sealed(STRICT, "password", b"hunter2")).expect("base64");
    let directory = CONTROLLER.directory.path();
    std::fs::write(directory.join("wrapped"), &bytes[2..2 + 256]).expect("written");
    let label = format!("rsa_oaep_label:{}", hex::encode("payments/ledger"));
    let oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256", "-pkeyopt", &label];
    let arguments: Vec<&str> = ["pkeyutl", "-decrypt", "-inkey", "key.pem", "-in", "wrapped"].into_iter().chain(oaep).collect();
    assert_eq!(openssl(directory, &arguments).len(), 32);
}

#[test]
fn a_value_opens_for_its_own_secret_alone_unless_its_scope_is_wider() {
    let namespace_wide = Scope::NamespaceWide { namespace: "payments" };
    for (scope, label) in [(STRICT, "payments/ledger"), (namespace_wide, "payments"), (Scope::ClusterWide, "")] {
        let text = sealed(scope, "password", b"hunter2");
        for other in ["payments/ledger", "payments/other", "other/ledger", "payments", "other", ""] {
            assert_eq!(CONTROLLER.open(&text, other).is_some(), other == label, "{scope:?} {other:?}");
        }
    }
    let other = Controller::new(&["-newkey", "rsa:2048"]).expect("a controller");
    assert!(other.open(&sealed(STRICT, "password", b"hunter2"), "payments/ledger").is_none());
}

#[test]
fn the_same_value_in_the_same_place_gives_the_same_bytes_and_anything_else_others() {
    assert_eq!(sealed(STRICT, "password", b"hunter2"), sealed(STRICT, "password", b"hunter2"));
    let other_controller = Controller::new(&["-newkey", "rsa:2048"]).expect("a controller");
    let other_key = SealingKey::new(&[8; 32]).expect("a key");
    let all = BTreeSet::from([
        sealed(STRICT, "password", b"hunter2"),
        sealed(STRICT, "password", b"hunter3"),
        sealed(STRICT, "token", b"hunter2"),
        sealed(Scope::Strict { namespace: "payments", name: "other" }, "password", b"hunter2"),
        sealed(Scope::NamespaceWide { namespace: "payments" }, "password", b"hunter2"),
        sealed(Scope::ClusterWide, "password", b"hunter2"),
        seal(&CONTROLLER.certificate, &other_key, STRICT, "password", b"hunter2").expect("sealed"),
        seal(&other_controller.certificate, &sealing_key(), STRICT, "password", b"hunter2").expect("sealed"),
    ]);
    assert_eq!(all.len(), 8);
    // No session key is used for two values: the parts behind the RSA ciphertext share no beginning either.
    let beginnings: BTreeSet<Vec<u8>> = all.iter().map(|text| STANDARD.decode(text).expect("base64")[258..265].to_vec()).collect();
    assert_eq!(beginnings.len(), 8);
}

#[test]
fn what_cannot_be_sealed_is_refused_and_no_error_holds_the_value() {
    let value = vec![b'x'; MAX_VALUE_BYTES];
    assert!(seal(&CONTROLLER.certificate, &sealing_key(), STRICT, "a", &value).is_ok());
    let error = seal(&CONTROLLER.certificate, &sealing_key(), STRICT, "a", &vec![b'x'; MAX_VALUE_BYTES + 1]).expect_err("too large");
    assert_eq!(error.class(), ErrorClass::User);
    assert!(!error.to_string().contains("xx"), "{error}");
    assert!(matches!(SealingKey::new(&[0; 31]), Err(SealError::ShortKey(31))));
    assert!(!format!("{:?}", sealing_key()).contains('7'));
    for kind in [&["-newkey", "rsa:1024"][..], &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-newkey", "ed25519"]] {
        let error = Controller::new(kind).err().unwrap_or_else(|| panic!("{kind:?} is taken"));
        assert!(matches!(error, SealError::Certificate(_)), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back_as_it_was(value in prop::collection::vec(any::<u8>(), 0..2000), name in "[a-z]{1,20}") {
        let text = sealed(Scope::Strict { namespace: "payments", name: &name }, "key", &value);
        prop_assert_eq!(CONTROLLER.open(&text, &format!("payments/{name}")), Some(value));
    }
}
