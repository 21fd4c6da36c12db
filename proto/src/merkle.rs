//! Merkle trees over host entries (RFC 6962 section 2.1: SHA-256, leaves prefixed with 0x00, nodes
//! with 0x01), so that a host can check its own entry without those of the others.
//!
//! Not here: what a leaf holds (see [`crate::artifact::entry`]).

use ct_merkle::RootHash;
use sha2::Sha256;

use crate::ids::Sha256Hash;
use crate::wire::agent::InclusionProof;

/// The most hashes of an inclusion proof.
pub const MAX_PROOF_HASHES: usize = 64;

/// The largest tree a proof is checked for.
const MAX_LEAVES: u64 = 1 << 53;

/// Why a leaf is not in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// More than [`MAX_PROOF_HASHES`].
    #[error("a proof has at most {MAX_PROOF_HASHES} hashes")]
    TooLong,
    /// The index is not below the size.
    #[error("leaf {index} is not in a tree of {size}")]
    NoSuchLeaf {
        /// The index.
        index: u64,
        /// The number of leaves.
        size: u64,
    },
    /// The path leads to another root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// A tree over leaves in a fixed order.
///
/// Keeps the hashes of every level. `ct-merkle` has a tree as well, but it hashes a whole path for
/// each leaf that is added and keeps the leaves, which shows at 100,000 hosts. It verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    /// `levels[0]` are the leaves; a node without sibling moves up unchanged.
    levels: Vec<Vec<Sha256Hash>>,
}

impl MerkleTree {
    /// The tree over `leaves`.
    pub fn new<'a>(leaves: impl Iterator<Item = &'a [u8]>) -> Self {
        let leaves: Vec<_> = leaves.map(|leaf| Sha256Hash::of_parts(&[&[0], leaf])).collect();
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let next = below.chunks(2).map(parent).collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// The root; of no leaves, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Sha256Hash {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| Sha256Hash::of(b""))
    }

    /// The number of leaves.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.first().map_or(0, Vec::len)
    }

    /// Whether there are no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The proof that the leaf at `index` is in the tree; `None` when there is no such leaf.
    #[must_use]
    pub fn prove(&self, index: usize) -> Option<InclusionProof> {
        if index >= self.len() {
            return None;
        }
        let sibling =
            |(height, level): (usize, &Vec<Sha256Hash>)| level.get((index >> height) ^ 1).copied();
        let path = self.levels.iter().enumerate().filter_map(sibling).collect();
        Some(InclusionProof { index: u64::try_from(index).ok()?, path })
    }
}

fn parent(children: &[Sha256Hash]) -> Sha256Hash {
    match children {
        [left, right] => Sha256Hash::of_parts(&[&[1], &left.0, &right.0]),
        [single, ..] => *single,
        [] => Sha256Hash::of(b""),
    }
}

/// Checks that `leaf` is in the tree of `size` leaves with this `root`.
///
/// # Errors
/// When the proof is too long, out of range, or leads elsewhere.
pub fn verify_inclusion(
    root: &Sha256Hash,
    size: u64,
    leaf: &[u8],
    proof: &InclusionProof,
) -> Result<(), MerkleError> {
    if proof.path.len() > MAX_PROOF_HASHES {
        return Err(MerkleError::TooLong);
    }
    if proof.index >= size || size > MAX_LEAVES {
        return Err(MerkleError::NoSuchLeaf { index: proof.index, size });
    }
    let path = proof.path.iter().flat_map(|hash| hash.0).collect();
    let path = ct_merkle::InclusionProof::<Sha256>::try_from_bytes(path)
        .map_err(|_| MerkleError::Mismatch)?;
    RootHash::<Sha256>::new(root.0.into(), size)
        .verify_inclusion(&leaf, proof.index, &path)
        .map_err(|_| MerkleError::Mismatch)
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    fn leaves(size: usize) -> Vec<Vec<u8>> {
        (0..size).map(|i| format!("leaf {i}").into_bytes()).collect()
    }

    fn tree(leaves: &[Vec<u8>]) -> MerkleTree {
        MerkleTree::new(leaves.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_empty_tree_has_the_hash_of_nothing() {
        assert_eq!(tree(&[]).root(), Sha256Hash::of(b""));
        assert_eq!(tree(&[]).prove(0), None);
    }

    #[test]
    fn a_proof_longer_than_any_tree_is_refused_unread() {
        let path = vec![Sha256Hash::default(); MAX_PROOF_HASHES + 1];
        let proof = InclusionProof { index: 0, path };
        let answer = verify_inclusion(&Sha256Hash::default(), u64::MAX, b"x", &proof);
        assert_eq!(answer, Err(MerkleError::TooLong));
        let proof = InclusionProof { index: 3, path: Vec::new() };
        for size in [3, u64::MAX] {
            assert!(verify_inclusion(&Sha256Hash::default(), size, b"x", &proof).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_leaf_of_every_tree_can_be_proved(size in 1_usize..600, at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
            let leaves = leaves(size);
            let (tree, index, other) = (tree(&leaves), at.index(size), other.index(size));
            let mut reference = MemoryBackedTree::<Sha256, Vec<u8>>::new();
            leaves.iter().for_each(|leaf| reference.push(leaf.clone()));
            let expected: [u8; 32] = (*reference.root().as_bytes()).into();
            prop_assert_eq!(tree.root().0, expected);

            let proof = tree.prove(index).unwrap();
            let count = u64::try_from(size).unwrap();
            prop_assert_eq!(verify_inclusion(&tree.root(), count, &leaves[index], &proof), Ok(()));

            prop_assert!(verify_inclusion(&tree.root(), count, b"another leaf", &proof).is_err());
            prop_assert!(verify_inclusion(&Sha256Hash::of(b"x"), count, &leaves[index], &proof).is_err());
            if other != index {
                let moved = InclusionProof { index: u64::try_from(other).unwrap(), ..proof.clone() };
                prop_assert!(verify_inclusion(&tree.root(), count, &leaves[index], &moved).is_err());
            }
            let mut longer = proof.clone();
            longer.path.push(Sha256Hash::default());
            prop_assert!(verify_inclusion(&tree.root(), count, &leaves[index], &longer).is_err());
        }
    }
}
