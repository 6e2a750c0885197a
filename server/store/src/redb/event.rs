//! One event in 13 bytes whose order is the history's: oldest first.
//!
//! Time, movie and kind are stored big-endian, so that comparing bytes is comparing (time, movie,
//! kind). The low half of the last byte holds the rating, which is not part of an event's identity:
//! compare [`identity`], not the bytes themselves.

use marquee_core::domain::{EventKey, Interaction, Kind, Rating, UserId};

use crate::StoreError;

/// Time with its sign flipped (8 bytes), movie (4), kind (high half), half stars or 0 (low half).
pub(super) type PackedEvent = [u8; 13];

/// The place of an event, or of a run of events, among those of all users: user, then oldest first.
pub(super) type PackedKey = [u8; 21];

/// Before every event of a user.
pub(super) const OLDEST: PackedEvent = [0; 13];

/// After every event of a user.
pub(super) const NEWEST: PackedEvent = [0xff; 13];

pub(super) fn pack(event: &Interaction) -> PackedEvent {
    let mut packed = pack_key(&EventKey::from(event));
    packed[12] |= event.rating.map_or(0, Rating::half_stars);
    packed
}

pub(super) fn pack_key(key: &EventKey) -> PackedEvent {
    let mut packed = [0; 13];
    packed[..8].copy_from_slice(&(key.time_ms as u64 ^ (1 << 63)).to_be_bytes());
    packed[8..12].copy_from_slice(&key.movie_id.to_be_bytes());
    packed[12] = (key.kind as u8) << 4;
    packed
}

pub(super) fn unpack(user_id: UserId, packed: &PackedEvent) -> Result<Interaction, StoreError> {
    let kind = Kind::from_number(packed[12] >> 4)
        .ok_or_else(|| StoreError::Corrupt(format!("an event of user {user_id} has no known kind")))?;
    Ok(Interaction {
        user_id,
        movie_id: movie_id(packed),
        time_ms: time_ms(packed),
        kind,
        rating: Rating::from_half_stars(packed[12] & 0x0f),
    })
}

pub(super) fn time_ms(packed: &PackedEvent) -> i64 {
    let (time, _) = packed.split_first_chunk().expect("an event has 13 bytes");
    (u64::from_be_bytes(*time) ^ (1 << 63)) as i64
}

pub(super) fn movie_id(packed: &PackedEvent) -> u32 {
    u32::from_be_bytes([packed[8], packed[9], packed[10], packed[11]])
}

/// The bytes without the rating: equal for the same event sent twice.
pub(super) fn identity(packed: &PackedEvent) -> PackedEvent {
    let mut identity = *packed;
    identity[12] &= 0xf0;
    identity
}

pub(super) fn key_of(user_id: UserId, packed: &PackedEvent) -> PackedKey {
    let mut key = [0; 21];
    key[..8].copy_from_slice(&user_id.to_be_bytes());
    key[8..].copy_from_slice(&identity(packed));
    key
}

/// The events in these bytes, oldest first.
pub(super) fn run_of(bytes: &[u8]) -> Result<&[PackedEvent], StoreError> {
    match bytes.as_chunks() {
        (run, []) => Ok(run),
        _ => Err(StoreError::Corrupt("a run of events ends within an event".to_owned())),
    }
}

/// The place of the event in a run: where it is, or else where it belongs.
pub(super) fn place(run: &[PackedEvent], event: &PackedEvent) -> Result<usize, usize> {
    let wanted = identity(event);
    match run.last() {
        Some(newest) if identity(newest) >= wanted => {
            run.binary_search_by(|other| identity(other).cmp(&wanted))
        }
        _ => Err(run.len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_event() -> impl Strategy<Value = Interaction> {
        (any::<i64>(), any::<u32>(), 0..Kind::ALL.len(), 1_u8..=10).prop_map(
            |(time_ms, movie_id, kind, half_stars)| {
                let kind = Kind::ALL[kind];
                let rating = Rating::from_half_stars(half_stars).filter(|_| kind == Kind::Rating);
                Interaction { user_id: 3, movie_id, time_ms, kind, rating }
            },
        )
    }

    proptest! {
        #[test]
        fn a_packed_event_unpacks_to_itself(event in any_event()) {
            prop_assert_eq!(unpack(3, &pack(&event)).expect("it was packed"), event);
        }

        #[test]
        fn packed_order_is_oldest_first(one in any_event(), other in any_event()) {
            let expected = EventKey::from(&one).cmp(&EventKey::from(&other));
            prop_assert_eq!(identity(&pack(&one)).cmp(&identity(&pack(&other))), expected);
        }
    }
}
