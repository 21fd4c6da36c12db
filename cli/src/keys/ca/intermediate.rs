//! The authority below the root that the control plane issues certificates of hosts with. The root's key
//! stays offline.
//!
//! What it signs counts as a client only, and never for a name or address of a server: whoever takes it
//! cannot pass for the control plane. It has no constraint on URIs, since rustls believes no certificate
//! with a URI below one (see `docs/decisions/0041-issuing.md`).

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CidrSubnet, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType,
};

use super::{CaError, CertificateAuthority, Issued, params};

/// For how long an intermediate authority is made unless told otherwise, in days.
pub const INTERMEDIATE_DAYS: u32 = 365;

/// The longest, in days.
pub const MAX_INTERMEDIATE_DAYS: u32 = 3_653;

/// The name of its files without suffix.
pub const INTERMEDIATE_STEM: &str = "issuer";

impl CertificateAuthority {
    /// Makes an authority below this one, valid for `days` from `now`.
    ///
    /// # Errors
    /// When this one may not have another below it, or the library says no.
    pub fn intermediate(&self, now: SystemTime, days: u32) -> Result<Issued, CaError> {
        if !self.may_have_another_below()? {
            return Err(CaError::NoneBelow);
        }
        let key = KeyPair::generate()?;
        let mut params = params(&format!("wavegate {} issuing CA", self.fleet), now, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names =
            vec![SanType::URI(format!("spiffe://{}", self.fleet).try_into()?)];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![
                GeneralSubtree::DnsName(String::new()),
                GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
                GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
            ],
        });
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key)?;
        let certificate_pem = params.signed_by(&key, &issuer)?.pem();
        Ok(Issued { certificate_pem, key_pem: key.serialize_pem() })
    }

    fn may_have_another_below(&self) -> Result<bool, CaError> {
        let unreadable = |_| CaError::NoneBelow;
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate_pem.as_bytes())
            .map_err(unreadable)?;
        let certificate = pem.parse_x509().map_err(|_| CaError::NoneBelow)?;
        let constraints = certificate.basic_constraints().map_err(|_| CaError::NoneBelow)?;
        let path_length = constraints.and_then(|found| found.value.path_len_constraint);
        Ok(path_length.is_none_or(|length| length > 0))
    }
}
