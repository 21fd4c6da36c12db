//! Reading a certificate signing request: of all that it asks for, only the key counts (S1).

use wavegate_proto::enroll::HostKey;
use wavegate_proto::wire::enroll::MAX_CSR_BYTES;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Larger than [`MAX_CSR_BYTES`].
    #[error("it is larger than {MAX_CSR_BYTES} bytes")]
    TooLarge,
    /// Not a PEM `CERTIFICATE REQUEST`.
    #[error("it is no PEM with a CERTIFICATE REQUEST")]
    Form,
    /// Its signature is not its own key's.
    #[error("it is not signed by the key in it")]
    Signature,
    /// A key of a kind that hosts do not have.
    #[error("its key is neither Ed25519 nor ECDSA P-256")]
    Key,
}

/// The key of a request that is signed by it: whoever made it holds the private one.
///
/// # Errors
/// When it cannot be read, or is not.
pub fn proven_key(pem: &str) -> Result<HostKey, CsrError> {
    if pem.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge);
    }
    let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|_| CsrError::Form)?;
    if pem.label != "CERTIFICATE REQUEST" {
        return Err(CsrError::Form);
    }
    let (rest, csr) =
        X509CertificationRequest::from_der(&pem.contents).map_err(|_| CsrError::Form)?;
    if !rest.is_empty() {
        return Err(CsrError::Form);
    }
    let key = HostKey::from_spki_der(csr.certification_request_info.subject_pki.raw);
    let key = key.map_err(|_| CsrError::Key)?;
    csr.verify_signature().map_err(|_| CsrError::Signature)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    use super::*;

    fn request(algorithm: &'static rcgen::SignatureAlgorithm) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        (key, csr.der().to_vec())
    }

    fn pem(der: &[u8], label: &str) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    const LABEL: &str = "CERTIFICATE REQUEST";

    #[test]
    fn the_key_of_a_request_is_the_one_that_signed_it() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (key, der) = request(algorithm);
            let proven = proven_key(&pem(&der, LABEL)).unwrap();
            assert_eq!(proven.to_spki_der(), rcgen::PublicKeyData::subject_public_key_info(&key));
        }
    }

    #[test]
    fn a_request_that_proves_nothing_is_refused() {
        let (_, der) = request(&PKCS_ED25519);
        let mut forged = der.clone();
        *forged.last_mut().unwrap() ^= 1;
        let longer = [&der[..], &[0]].concat();
        for (text, error) in [
            (pem(&forged, LABEL), CsrError::Signature),
            (pem(&longer, LABEL), CsrError::Form),
            (pem(&der[..der.len() - 1], LABEL), CsrError::Form),
            (pem(&der, "CERTIFICATE"), CsrError::Form),
            (pem(&request(&PKCS_ECDSA_P384_SHA384).1, LABEL), CsrError::Key),
            (String::new(), CsrError::Form),
            ("x".repeat(MAX_CSR_BYTES + 1), CsrError::TooLarge),
        ] {
            assert_eq!(proven_key(&text), Err(error));
        }
    }
}
