//! The figures that are to be reached, and those that explain them.

/// The bound of an aim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Lower is better.
    AtMost(f64),
    /// Higher is better.
    AtLeast(f64),
}

impl Bound {
    /// Whether the value keeps it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

/// A real server that a figure needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but this machine.
    Nothing,
    /// A CQL server.
    Cql,
    /// Redis.
    Redis,
    /// Both.
    Both,
}

/// A figure with an aim.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Its unit; empty for a ratio.
    pub unit: &'static str,
    /// What it is to be.
    pub bound: Bound,
    /// What it is measured with.
    pub needs: Needs,
}

/// Every figure that is to be reached.
pub const AIMS: [Aim; 8] = [
    Aim {
        name: "redb_profile_p50_us",
        what: "profile read on redb: 200 newest of a user with 200, p50",
        unit: "us",
        bound: Bound::AtMost(15.0),
        needs: Needs::Nothing,
    },
    Aim {
        name: "redb_writes_per_s",
        what: "interactions written to redb at the trait, each durable before its acknowledgement",
        unit: "1/s",
        bound: Bound::AtLeast(40_000.0),
        needs: Needs::Nothing,
    },
    Aim {
        name: "grpc_writes_per_s",
        what: "the same over gRPC, 64 callers on the same cores",
        unit: "1/s",
        bound: Bound::AtLeast(8_000.0),
        needs: Needs::Nothing,
    },
    Aim {
        name: "stored_over_stateless",
        what: "Recommend for a stored user with a warm cache over the stateless call, one caller, p50",
        unit: "",
        bound: Bound::AtMost(0.6),
        needs: Needs::Nothing,
    },
    Aim {
        name: "cql_profile_over_bare",
        what: "profile read on the CQL store over the bare driver, p50",
        unit: "",
        bound: Bound::AtMost(1.3),
        needs: Needs::Cql,
    },
    Aim {
        name: "cql_import_over_bare",
        what: "import into the CQL store over the bare driver writing the same rows, rows a second",
        unit: "",
        bound: Bound::AtLeast(0.8),
        needs: Needs::Cql,
    },
    Aim {
        name: "redis_hit_adds_us",
        what: "Recommend with its vector from Redis less the same from this process's memory, p50",
        unit: "us",
        bound: Bound::AtMost(300.0),
        needs: Needs::Redis,
    },
    Aim {
        name: "invalidation_p99_ms",
        what: "from a write's acknowledgement on one node to the first Recommend on another that shows it, p99",
        unit: "ms",
        bound: Bound::AtMost(50.0),
        needs: Needs::Both,
    },
];

/// Figures that explain the others: name, what it is, unit.
pub const BESIDE: [(&str, &str, &str); 19] = [
    ("redb_profile_p99_us", "profile read on redb, p99", "us"),
    ("redb_write_p50_ms", "a write to redb at the trait, p50", "ms"),
    ("redb_write_p99_ms", "a write to redb at the trait, p99", "ms"),
    ("redb_write_slowest_ms", "the slowest write to redb at the trait", "ms"),
    ("append_and_sync_us", "appending 4 KiB to a file and syncing it, p50, before the writes", "us"),
    ("grpc_write_p50_ms", "a write over gRPC, 64 callers, p50", "ms"),
    ("grpc_write_p99_ms", "a write over gRPC, 64 callers, p99", "ms"),
    ("grpc_write_server_cpu_us", "processor time of a write over gRPC: server", "us"),
    ("grpc_write_client_cpu_us", "processor time of a write over gRPC: load generator", "us"),
    ("stored_p50_ms", "Recommend for a stored user with a warm cache, one caller, p50", "ms"),
    (
        "stateless_p50_ms",
        "Recommend with the same history in the request, never seen before, one caller, p50",
        "ms",
    ),
    ("cql_profile_p50_us", "profile read on the CQL store, p50", "us"),
    ("cql_bare_read_p50_us", "the same read by the bare driver, p50", "us"),
    ("cql_import_rows_per_s", "import into the CQL store", "rows/s"),
    ("cql_bare_import_rows_per_s", "the bare driver writing the same rows", "rows/s"),
    ("redis_get_p50_us", "reading a vector from Redis by the server's own link, p50", "us"),
    ("redis_hit_p50_us", "Recommend with its vector from Redis, one caller, p50", "us"),
    ("local_hit_p50_us", "Recommend with its vector from this process's memory, one caller, p50", "us"),
    ("invalidation_p50_ms", "from a write's acknowledgement to the first Recommend that shows it, p50", "ms"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_at_its_edge() {
        assert!(Bound::AtMost(1.3).holds(1.3) && !Bound::AtMost(1.3).holds(1.31));
        assert!(Bound::AtLeast(0.8).holds(0.8) && !Bound::AtLeast(0.8).holds(0.79));
    }
}
