//! Which items people have in common: who took one also took the other.
//!
//! The likeness of two items is the cosine of the sets of users who took them, shrunk by how few took both, since what
//! three users have in common is mostly chance:
//!
//! ```text
//! both / sqrt(users of one * users of the other) * both / (both + 10)
//! ```

use super::keep_best;

/// Users of both beside which the cosine counts half.
const SHRINKAGE: f32 = 10.0;

/// Neighbours of an item and their likeness, the likest first, ties by ascending item.
pub type Neighbours = Vec<(u32, f32)>;

/// The sets of users who took each item, ready to be compared.
#[derive(Clone, Debug)]
pub struct CoOccurrence {
    /// The items of user `u`, each once, are `items[users[u]..users[u + 1]]`.
    users: Vec<usize>,
    items: Vec<u32>,
    /// The users of item `i` are `takers[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    takers: Vec<u32>,
}

/// What one comparison needs beside the sets, kept from one to the next.
#[derive(Clone, Debug)]
pub struct Counts(Vec<u32>);

impl CoOccurrence {
    /// Of users who took items below `items`.
    ///
    /// # Panics
    /// When a user took another item.
    ///
    /// ```
    /// # use marquee_ranking::CoOccurrence;
    /// let users = [vec![0, 1], vec![0, 1, 2], vec![0, 2]];
    /// let taken = CoOccurrence::new(3, users.iter().map(|items| &items[..]));
    /// let neighbours = taken.neighbours(1, 10, &mut taken.counts());
    /// // Two of three users of 0, of the two of 1: both; one of the two of 2.
    /// assert_eq!(neighbours.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [0, 2]);
    /// ```
    pub fn new<'a>(items: usize, users: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut taken =
            Self { users: vec![0], items: Vec::new(), starts: vec![0; items + 1], takers: Vec::new() };
        for user in users {
            let from = taken.items.len();
            taken.items.extend_from_slice(user);
            taken.items[from..].sort_unstable();
            let distinct = distinct(&mut taken.items[from..]);
            taken.items.truncate(from + distinct);
            taken.users.push(taken.items.len());
        }
        taken.turn_round();
        taken
    }

    /// Fills in who took each item.
    fn turn_round(&mut self) {
        for item in &self.items {
            self.starts[*item as usize + 1] += 1;
        }
        for item in 1..self.starts.len() {
            self.starts[item] += self.starts[item - 1];
        }
        let mut next = self.starts.clone();
        self.takers = vec![0; self.items.len()];
        for (user, range) in (0..).zip(self.users.windows(2)) {
            for item in &self.items[range[0]..range[1]] {
                let place = &mut next[*item as usize];
                self.takers[*place] = user;
                *place += 1;
            }
        }
    }

    /// What [`neighbours`](Self::neighbours) counts with.
    pub fn counts(&self) -> Counts {
        Counts(vec![0; self.starts.len() - 1])
    }

    /// The items that are likest to one, itself left out, at most so many; only those that a user took as well.
    pub fn neighbours(&self, item: u32, most: usize, counts: &mut Counts) -> Neighbours {
        let counts = &mut counts.0;
        let mut met = Vec::new();
        for user in self.takers(item) {
            let user = *user as usize;
            for other in &self.items[self.users[user]..self.users[user + 1]] {
                let count = &mut counts[*other as usize];
                if *count == 0 {
                    met.push(*other);
                }
                *count += 1;
            }
        }
        let takers = self.takers(item).len() as f32;
        let mut neighbours: Neighbours = Vec::with_capacity(met.len().saturating_sub(1));
        for other in met {
            let both = std::mem::take(&mut counts[other as usize]) as f32;
            if other != item {
                let cosine = both / (takers * self.takers(other).len() as f32).sqrt();
                neighbours.push((other, cosine * both / (both + SHRINKAGE)));
            }
        }
        keep_best(&mut neighbours, most, |one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        neighbours
    }

    fn takers(&self, item: u32) -> &[u32] {
        &self.takers[self.starts[item as usize]..self.starts[item as usize + 1]]
    }
}

/// Moves the distinct ones of sorted items to the front; how many there are.
fn distinct(items: &mut [u32]) -> usize {
    let mut kept = 0;
    for place in 0..items.len() {
        if place == 0 || items[place] != items[kept - 1] {
            items[kept] = items[place];
            kept += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(items: usize, users: &[&[u32]]) -> CoOccurrence {
        CoOccurrence::new(items, users.iter().copied())
    }

    #[test]
    fn what_few_have_in_common_counts_little() {
        let one: Vec<&[u32]> = vec![&[0, 1]];
        let many: Vec<&[u32]> = std::iter::repeat_n(&[0, 1][..], 90).collect();
        let likeness = |users: &[&[u32]]| {
            let taken = of(2, users);
            taken.neighbours(0, 1, &mut taken.counts())
        };
        assert_eq!(likeness(&one), [(1, 1.0 / 11.0)]);
        assert_eq!(likeness(&many), [(1, 0.9)]);
    }

    #[test]
    fn the_likest_come_first_and_an_item_is_no_neighbour_of_its_own() {
        let users: [&[u32]; 4] = [&[0, 1, 3], &[0, 1], &[0, 2], &[3]];
        let taken = of(5, &users);
        let mut counts = taken.counts();
        let all = taken.neighbours(0, 10, &mut counts);
        assert_eq!(all.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(taken.neighbours(0, 2, &mut counts), all[..2], "counts are empty again");
        assert_eq!(taken.neighbours(4, 10, &mut counts), []);
        assert_eq!(taken.neighbours(0, 0, &mut counts), []);
    }

    #[test]
    fn who_took_an_item_twice_took_it_once() {
        let once = of(2, &[&[0, 1], &[1]]);
        let twice = of(2, &[&[1, 0, 1, 0], &[1, 1]]);
        let neighbours = |taken: &CoOccurrence| taken.neighbours(1, 5, &mut taken.counts());
        assert_eq!(neighbours(&once), neighbours(&twice));
    }
}
