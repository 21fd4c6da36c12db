//! Bundles and assets are public to the whole fleet: content that looks like a private key stays out.
//!
//! Not here: secrets that hosts keep themselves.

/// Whether content that looks like a private key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretsPolicy {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken: `--allow-secrets`.
    Allow,
}

/// The sentence for content that is refused.
pub const REFUSED: &str = "looks like it holds a private key, and every host of the fleet could read it (--allow-secrets to allow)";

impl SecretsPolicy {
    /// Whether `content` is refused.
    #[must_use]
    pub fn refuses(self, content: &[u8]) -> bool {
        match self {
            Self::Refuse => looks_like_private_key(content),
            Self::Allow => false,
        }
    }
}

fn looks_like_private_key(content: &[u8]) -> bool {
    const MARKS: [&[u8]; 3] = [b"PRIVATE KEY-----", b"AGE-SECRET-KEY-1", b"PuTTY-User-Key-File-"];
    MARKS.iter().any(|mark| content.windows(mark.len()).any(|window| window == *mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_told_from_certificates_and_public_keys() {
        for secret in [
            "-----BEGIN PRIVATE KEY-----\nMC4",
            "-----BEGIN RSA PRIVATE KEY-----",
            "x = 1\n-----BEGIN OPENSSH PRIVATE KEY-----",
            "AGE-SECRET-KEY-1QQQ",
        ] {
            assert!(SecretsPolicy::Refuse.refuses(secret.as_bytes()), "{secret}");
            assert!(!SecretsPolicy::Allow.refuses(secret.as_bytes()), "{secret}");
        }
        for public in
            ["-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "ssh-ed25519 AAAA", ""]
        {
            assert!(!SecretsPolicy::Refuse.refuses(public.as_bytes()), "{public}");
        }
    }
}
