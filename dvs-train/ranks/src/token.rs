//! The secret by which the ranks of a job know each other.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Bytes of a proof and of a challenge.
pub(crate) const PROOF_BYTES: usize = 32;

/// What all ranks of a job have, and what others lack.
///
/// A rank shows that it has the token without sending it: each side sends random bytes, and the
/// other one returns their HMAC-SHA256 under the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token of a text of any length.
    pub fn new(text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"dvs-ranks token\0");
        hash.update(text.as_bytes());
        Self(hash.finalize().into())
    }

    /// The token for one session, so that ranks of another one are refused.
    pub(crate) fn of_session(&self, session: &str) -> Self {
        Self(
            self.keyed(&[b"session", session.as_bytes()])
                .finalize()
                .into_bytes()
                .into(),
        )
    }

    /// What the side named `role` shows to prove that it has the token.
    pub(crate) fn proof(&self, role: &[u8], parts: [&[u8]; 2]) -> [u8; PROOF_BYTES] {
        self.keyed(&[role, parts[0], parts[1]])
            .finalize()
            .into_bytes()
            .into()
    }

    /// Whether the proof is right, in a time that does not depend on how wrong it is.
    pub(crate) fn accepts(&self, role: &[u8], parts: [&[u8]; 2], proof: &[u8]) -> bool {
        self.keyed(&[role, parts[0], parts[1]])
            .verify_slice(proof)
            .is_ok()
    }

    /// The lengths go in with the parts, so that bytes cannot move between them.
    fn keyed(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // A key of one block's length or less is taken as it is.
        let mut key = [0; 64];
        key[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_depend_on_token_role_and_challenges() {
        let (token, other) = (Token::new("a"), Token::new("b"));
        let proof = token.proof(b"caller", [b"one", b"two"]);
        assert!(token.accepts(b"caller", [b"one", b"two"], &proof));
        assert!(!other.accepts(b"caller", [b"one", b"two"], &proof));
        assert!(!token.accepts(b"listener", [b"one", b"two"], &proof));
        assert!(!token.accepts(b"caller", [b"onet", b"wo"], &proof));
        assert!(!token.accepts(b"caller", [b"one", b"two"], &proof[..31]));
        assert!(
            !token
                .of_session("x")
                .accepts(b"caller", [b"one", b"two"], &proof)
        );
        assert_ne!(token.of_session("x"), token.of_session("y"));
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Token(..)");
    }
}
