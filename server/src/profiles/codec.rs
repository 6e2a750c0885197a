//! A profile as bytes: a byte of version, then little-endian numbers; texts and lists with their length
//! in front, the seen movies as a portable roaring bitmap at the end.

use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use marquee_core::domain::{Interaction, Kind, Preferences, Profile, Rating, UserId};
use roaring::RoaringBitmap;

use super::entry::Entry;

const FORM: u8 = 1;
const EVENT_BYTES: usize = 14;

/// The entry as bytes; the user is its key's business.
pub(super) fn encode(entry: &Entry) -> Bytes {
    let Profile { newest, seen, preferences } = &*entry.profile;
    let mut bytes = BytesMut::with_capacity(64 + EVENT_BYTES * newest.len() + seen.serialized_size());
    bytes.put_u8(FORM);
    bytes.put_u32_le(entry.asked as u32);
    bytes.put_u32_le(newest.len() as u32);
    for event in newest {
        bytes.put_i64_le(event.time_ms);
        bytes.put_u32_le(event.movie_id);
        bytes.put_u8(event.kind as u8);
        bytes.put_u8(event.rating.map_or(0, Rating::half_stars));
    }
    bytes.put_u32_le(preferences.genres.len() as u32);
    for genre in &preferences.genres {
        bytes.put_u32_le(genre.len() as u32);
        bytes.put_slice(genre.as_bytes());
    }
    bytes.put_u32_le(preferences.movie_ids.len() as u32);
    for movie_id in &preferences.movie_ids {
        bytes.put_u32_le(*movie_id);
    }
    let mut bytes = bytes.writer();
    seen.serialize_into(&mut bytes).expect("memory takes what is written");
    bytes.into_inner().freeze()
}

/// The entry; `None` for bytes that this version did not write.
pub(super) fn decode(user_id: UserId, mut bytes: &[u8]) -> Option<Entry> {
    if bytes.try_get_u8().ok()? != FORM {
        return None;
    }
    let asked = bytes.try_get_u32_le().ok()? as usize;
    let events = bytes.try_get_u32_le().ok()?;
    let newest = (0..events).map(|_| event(user_id, &mut bytes)).collect::<Option<_>>()?;
    let genres = bytes.try_get_u32_le().ok()?;
    let genres = (0..genres).map(|_| text(&mut bytes)).collect::<Option<_>>()?;
    let movies = bytes.try_get_u32_le().ok()?;
    let movie_ids = (0..movies).map(|_| bytes.try_get_u32_le().ok()).collect::<Option<_>>()?;
    let seen = RoaringBitmap::deserialize_from(bytes).ok()?;
    let preferences = Preferences { genres, movie_ids };
    Some(Entry { asked, profile: Arc::new(Profile { newest, seen, preferences }) })
}

fn event(user_id: UserId, bytes: &mut &[u8]) -> Option<Interaction> {
    let (time_ms, movie_id) = (bytes.try_get_i64_le().ok()?, bytes.try_get_u32_le().ok()?);
    let kind = Kind::from_number(bytes.try_get_u8().ok()?)?;
    let rating = Rating::from_half_stars(bytes.try_get_u8().ok()?);
    Some(Interaction { user_id, movie_id, time_ms, kind, rating })
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = bytes.try_get_u32_le().ok()? as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let event = (any::<i64>(), any::<u32>(), 0..Kind::ALL.len(), 0_u8..=10);
        let events = prop::collection::vec(event, 0..50);
        let preferences =
            (prop::collection::vec(any::<String>(), 0..4), prop::collection::vec(any::<u32>(), 0..4));
        let seen = prop::collection::vec(any::<u32>(), 0..200);
        (any::<u16>(), events, preferences, seen).prop_map(|(asked, events, (genres, movie_ids), seen)| {
            let newest = events
                .into_iter()
                .map(|(time_ms, movie_id, kind, half_stars)| Interaction {
                    user_id: 7,
                    movie_id,
                    time_ms,
                    kind: Kind::ALL[kind],
                    rating: Rating::from_half_stars(half_stars),
                })
                .collect();
            let preferences = Preferences { genres, movie_ids };
            let seen = seen.into_iter().collect();
            Entry { asked: asked.into(), profile: Arc::new(Profile { newest, seen, preferences }) }
        })
    }

    proptest! {
        #[test]
        fn a_profile_comes_back_as_it_was(entry in entries()) {
            let back = decode(7, &encode(&entry)).unwrap();
            prop_assert_eq!((back.asked, back.profile), (entry.asked, entry.profile));
        }

        #[test]
        fn a_profile_that_was_cut_off_is_none(entry in entries(), share in 0.0..1.0) {
            let bytes = encode(&entry);
            let length = (bytes.len() as f64 * share) as usize;
            prop_assert!(decode(7, &bytes[..length]).is_none());
        }
    }

    #[test]
    fn what_another_version_wrote_is_none() {
        let mut bytes = encode(&Entry { asked: 10, profile: Arc::default() }).to_vec();
        bytes[0] = FORM + 1;
        assert!(decode(7, &bytes).is_none());
    }
}
