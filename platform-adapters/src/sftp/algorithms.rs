//! Which algorithms a connection may use: all that libssh2 knows but the old ones, and of those the
//! ones that the platform's settings name.

use ssh2::{MethodType, Session};

use crate::settings::{AlgorithmKind, OldAlgorithm};

/// By these an algorithm of old is known, whether settings can allow it or not.
const OLD_MARKS: [&str; 8] = [
    "-sha1",
    "-cbc",
    "ssh-rsa",
    "ssh-dss",
    "hmac-md5",
    "hmac-ripemd",
    "arcfour",
    "rijndael",
];

/// What libssh2 lists among the key exchanges and adds by itself.
const EXTENSIONS: [&str; 2] = ["ext-info-", "kex-strict-"];

/// Host key algorithms by kind, in the order in which they are asked for, which is that of OpenSSH's
/// own client. A server has a key of several kinds, and the pinned one may be of any.
const HOST_KEYS: [(&str, &str); 3] = [
    ("Ed25519", "ssh-ed25519"),
    (
        "ECDSA",
        "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    ),
    ("RSA", "rsa-sha2-512,rsa-sha2-256"),
];

/// A kind of host key: its name for people, and its algorithms for libssh2.
pub(super) type HostKeyKind = (&'static str, String);

/// The kinds of host keys that may be asked for.
pub(super) fn host_key_kinds(old: &[OldAlgorithm]) -> Vec<HostKeyKind> {
    let allowed: Vec<&str> = named(old, AlgorithmKind::HostKey).collect();
    HOST_KEYS
        .iter()
        .map(|(name, algorithms)| match *name {
            "RSA" => (
                *name,
                [&[*algorithms], allowed.as_slice()].concat().join(","),
            ),
            _ => (*name, (*algorithms).to_owned()),
        })
        .collect()
}

/// The algorithms of a kind that may be used, the best first.
pub(super) fn allowed(
    ssh: &Session,
    kind: AlgorithmKind,
    old: &[OldAlgorithm],
) -> Result<Vec<String>, ssh2::Error> {
    let method = match kind {
        AlgorithmKind::KeyExchange => MethodType::Kex,
        AlgorithmKind::HostKey => {
            let kinds = host_key_kinds(old);
            let names = kinds.iter().flat_map(|(_, names)| names.split(','));
            return Ok(names.map(str::to_owned).collect());
        }
        AlgorithmKind::Cipher => MethodType::CryptCs,
        AlgorithmKind::Mac => MethodType::MacCs,
    };
    let is_old = |name: &&str| OLD_MARKS.iter().any(|mark| name.contains(mark));
    let is_extension = |name: &&str| EXTENSIONS.iter().any(|mark| name.starts_with(mark));
    let known = ssh.supported_algs(method)?.into_iter();
    let (past, modern): (Vec<&str>, Vec<&str>) =
        known.filter(|name| !is_extension(name)).partition(is_old);
    let past = past
        .into_iter()
        .filter(|name| named(old, kind).any(|named| named == *name));
    let mut names: Vec<&str> = modern.into_iter().chain(past).collect();
    if has_aes_instructions() {
        names.sort_by_key(|name| !name.contains("-gcm@"));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Whether the processor computes AES by itself. Where it does, AES-GCM takes a fraction of the time
/// of ChaCha20, which libssh2 would rather have and computes in plain C; where it does not, ChaCha20 is
/// the faster one.
fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Sets what a connection may use, before its handshake; host keys as given.
pub(super) fn restrict(
    ssh: &Session,
    host_keys: &str,
    old: &[OldAlgorithm],
) -> Result<(), ssh2::Error> {
    let kex = allowed(ssh, AlgorithmKind::KeyExchange, old)?.join(",");
    let ciphers = allowed(ssh, AlgorithmKind::Cipher, old)?.join(",");
    let macs = allowed(ssh, AlgorithmKind::Mac, old)?.join(",");
    for (method, names) in [
        (MethodType::Kex, kex.as_str()),
        (MethodType::HostKey, host_keys),
        (MethodType::CryptCs, &ciphers),
        (MethodType::CryptSc, &ciphers),
        (MethodType::MacCs, &macs),
        (MethodType::MacSc, &macs),
    ] {
        ssh.method_pref(method, names)?;
    }
    Ok(())
}

fn named(old: &[OldAlgorithm], kind: AlgorithmKind) -> impl Iterator<Item = &'static str> {
    old.iter()
        .filter(move |one| one.kind() == kind)
        .map(|one| one.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [AlgorithmKind; 4] = [
        AlgorithmKind::KeyExchange,
        AlgorithmKind::HostKey,
        AlgorithmKind::Cipher,
        AlgorithmKind::Mac,
    ];

    #[test]
    fn the_cipher_that_the_processor_is_quick_at_comes_first() {
        let ssh = Session::new().unwrap();
        let ciphers = allowed(&ssh, AlgorithmKind::Cipher, OldAlgorithm::ALL).unwrap();
        let first = if has_aes_instructions() {
            "aes256-gcm@openssh.com"
        } else {
            "chacha20-poly1305@openssh.com"
        };
        assert_eq!(ciphers.first().unwrap(), first);
        assert!(ciphers.iter().any(|name| name == "aes256-ctr"));
    }

    #[test]
    fn nothing_old_is_used_unless_it_is_named_and_all_of_it_can_be() {
        let ssh = Session::new().unwrap();
        for kind in KINDS {
            let modern = allowed(&ssh, kind, &[]).unwrap();
            assert!(!modern.is_empty());
            for old in OldAlgorithm::ALL {
                assert!(!modern.iter().any(|name| name == old.name()), "{old:?}");
            }
            let all = allowed(&ssh, kind, OldAlgorithm::ALL).unwrap();
            for old in OldAlgorithm::ALL.iter().filter(|old| old.kind() == kind) {
                assert!(
                    all.iter().any(|name| name == old.name()),
                    "libssh2 was built without {}; .cargo/config.toml has its CFLAGS",
                    old.name()
                );
            }
            assert!(all.starts_with(&modern[..1]));
        }
    }
}
