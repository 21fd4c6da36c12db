//! Who gets a certificate, and the memory of who got one by which token. What is decided here is durable
//! before the certificate leaves the process.
//!
//! Not here: whether a token is believed (see `wavegate_proto::enroll`), making certificates (see
//! [`crate::issuing`]).

use std::collections::BTreeMap;

use wavegate_proto::artifact::fleet::{EnrollMode, FleetEnroll};
use wavegate_proto::enroll::{EnrollToken, HostKey};
use wavegate_proto::ids::{HostName, KeyThumbprint, LogSeq, TokenId};
use wavegate_proto::time::{Mono, Now, Timestamp};
use wavegate_proto::wire::problem::{Problem, ProblemCode};

use super::log::Fact;
use super::output::refuse;
use super::payload::{CertificateRenewed, HostEnrolled, RenewedBy, logged};
use super::rows::{EnrollmentRow, Write};
use super::{Answer, Core, Token};

/// A host renews at most so often, in seconds; the shortest certificates live for ten.
const MIN_RENEWAL_DISTANCE_SECS: u64 = 3;

/// Who was let in by each token, and with which key.
pub(super) type Enrollments = BTreeMap<TokenId, BTreeMap<HostName, KeyThumbprint>>;

/// A host that wants its first certificate.
#[derive(Debug, Clone)]
pub struct Enrolling {
    /// What it brings: verified, and it counts now.
    pub token: EnrollToken,
    /// Its name, which the token gives it.
    pub host: HostName,
    /// Its key, which it has proven to hold.
    pub key: HostKey,
}

/// A host that wants its next certificate.
#[derive(Debug, Clone)]
pub struct Renewing {
    /// Its name, by the certificate it has.
    pub host: HostName,
    /// The key of the next one, which it has proven to hold.
    pub key: HostKey,
    /// How it has proven who it is.
    pub by: RenewedBy,
}

impl Core {
    pub(super) fn enroll(&mut self, now: Now, enrolling: &Enrolling, reply: Token) {
        let answer = match self.take_enrollment(now, enrolling) {
            Ok(()) => Answer::MayIssue,
            Err(problem) => Answer::Problem(problem),
        };
        self.reply(reply, answer);
    }

    pub(super) fn renew(&mut self, now: Now, renewing: &Renewing, reply: Token) {
        let may = self
            .expect_lets_in(&renewing.host, &renewing.key)
            .and_then(|()| self.expect_not_just_renewed(now, &renewing.host));
        let answer = match may {
            Ok(()) => {
                self.renewed.insert(renewing.host.clone(), now.mono);
                let renewed =
                    CertificateRenewed { key: renewing.key.thumbprint(), by: renewing.by };
                let fact = Fact::own(now, "certificate_renewed", logged(&renewed));
                self.note(fact.on(&renewing.host));
                Answer::MayIssue
            }
            Err(problem) => Answer::Problem(problem),
        };
        self.reply(reply, answer);
    }

    fn take_enrollment(&mut self, now: Now, enrolling: &Enrolling) -> Result<(), Box<Problem>> {
        let Enrolling { token, host, key } = enrolling;
        self.expect_lets_in(host, key)?;
        let thumbprint = key.thumbprint();
        let rules = self.fleet_enroll();
        if token.is_for_group() && !rules.group_tokens {
            let detail = "the fleet document does not allow tokens for a pattern (group_tokens)";
            return Err(refuse(ProblemCode::TokenRefused, detail));
        }
        if token.bound_to.as_ref().is_some_and(|bound| *bound != thumbprint) {
            let detail = format!("the token is bound to another key than {thumbprint}");
            return Err(refuse(ProblemCode::KeyMismatch, detail));
        }
        let let_in = self.enrollments.get(&token.id);
        match let_in.and_then(|hosts| hosts.get(host)) {
            // The answer was lost, most likely. Who has the key gets nothing that it did not have.
            Some(before) if *before == thumbprint => return Ok(()),
            Some(_) => {
                let detail = format!("{host} has joined with it, and with another key");
                return Err(refuse(ProblemCode::TokenUsed, detail));
            }
            None => {}
        }
        self.expect_remembered(token, &rules)?;
        let used = let_in.map_or(0, BTreeMap::len);
        if used >= usize::try_from(token.count).unwrap_or(usize::MAX) {
            let detail = format!("it lets {} in, and has", token.count);
            return Err(refuse(ProblemCode::TokenUsed, detail));
        }
        let enrolled = HostEnrolled {
            token: token.id.clone(),
            token_key: token.key_id.clone(),
            expires_at: token.expires_at,
            bound: token.bound_to.is_some(),
            key: thumbprint,
        };
        let log_seq = self.note(Fact::own(now, "host_enrolled", logged(&enrolled)).on(host));
        self.add_enrollment(host.clone(), enrolled, now.wall, log_seq);
        Ok(())
    }

    /// What `host_enrolled` changes.
    pub(super) fn add_enrollment(
        &mut self,
        host: HostName,
        enrolled: HostEnrolled,
        at: Timestamp,
        log_seq: LogSeq,
    ) {
        let hosts = self.enrollments.entry(enrolled.token.clone()).or_default();
        hosts.insert(host.clone(), enrolled.key.clone());
        let HostEnrolled { token, expires_at, key, token_key: _, bound: _ } = enrolled;
        self.write(Write::Enrollment(EnrollmentRow { token, host, key, expires_at, at, log_seq }));
    }

    /// The host is in the signed fleet, and the fleet pins no other key.
    fn expect_lets_in(&self, host: &HostName, key: &HostKey) -> Result<(), Box<Problem>> {
        self.expect_member(host)?;
        let named = self.release.as_ref().and_then(|release| release.fleet.hosts.get(host));
        let pinned = named.and_then(|named| named.public_key.as_deref());
        if pinned.is_some_and(|pinned| !key.is_pinned_by(pinned)) {
            let detail = format!("the signed fleet names another key for {host}");
            return Err(refuse(ProblemCode::KeyMismatch, detail));
        }
        Ok(())
    }

    /// Each renewal is a row of the log: one host must not fill the disk (G14).
    fn expect_not_just_renewed(&self, now: Now, host: &HostName) -> Result<(), Box<Problem>> {
        let just = |at: &Mono| now.mono.secs_since(*at) < MIN_RENEWAL_DISTANCE_SECS;
        if self.renewed.get(host).is_some_and(just) {
            let detail = format!("{host} has renewed its certificate just now");
            return Err(refuse(ProblemCode::RateLimited, detail));
        }
        Ok(())
    }

    fn fleet_enroll(&self) -> FleetEnroll {
        let release = self.release.as_ref();
        release.and_then(|release| release.fleet.enroll.clone()).unwrap_or_default()
    }

    /// In mode `strict`, a token that anybody may use must be one of which this database would know: a
    /// lost one may have known that it was used.
    fn expect_remembered(
        &self,
        token: &EnrollToken,
        rules: &FleetEnroll,
    ) -> Result<(), Box<Problem>> {
        match rules.mode {
            EnrollMode::Strict if token.bound_to.is_none() => {}
            EnrollMode::Strict | EnrollMode::Open => return Ok(()),
        }
        if token.nonce.is_none() || token.nonce != rules.nonce {
            let detail = "the fleet is strict: the token must be bound to a key, or carry the nonce \
                          of the fleet document";
            return Err(refuse(ProblemCode::TokenRefused, detail));
        }
        if token.issued_at < self.epoch_since {
            let detail = format!(
                "the fleet is strict, and the token is older than the control plane's database, \
                 made {}: mint another",
                self.epoch_since
            );
            return Err(refuse(ProblemCode::TokenRefused, detail));
        }
        Ok(())
    }
}
