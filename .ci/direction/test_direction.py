# ruff: noqa: D103
"""Tests of the check of imports."""

from pathlib import Path

import pytest
import rules
import sources
from sources import Import


@pytest.fixture(autouse=True)
def no_exceptions(monkeypatch):
    monkeypatch.setattr(rules, "ALLOWED", {})
    monkeypatch.setattr(rules, "CIRCLES", [])


@pytest.fixture
def crate(tmp_path):
    """Makes a crate of these files; its imports as pairs of modules, or of a module and another crate."""

    def make(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.rs"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sources.read(tmp_path / "lib.rs")

    return make


def pairs(root):
    found = sources.imports(root, "house")
    return {
        ("::".join(one.importer), "::".join(one.imported) if one.imported is not None else one.crate)
        for one in found
    }


def circles(root):
    return list(rules.circles("house", root, sources.imports(root, "house")))


def of_server(importer, imported=None, crate=None):
    return Import((importer, "file"), Path(f"server/src/{importer}/file.rs"), imported and (imported,), crate)


def test_a_use_is_followed_to_its_module(crate):
    root = crate(
        lib="mod a;\nmod b;",
        a="use crate::b::{self, Thing as Other, deep::Inner};",
        b="mod deep;",
        b__deep="",
    )
    assert pairs(root) == {("a", "b"), ("a", "b::deep")}


def test_a_name_that_a_module_hands_on_is_of_where_it_is_written(crate):
    root = crate(
        lib="mod a;\nmod b;", a="use crate::b::Inner;", b="mod deep;\npub use self::deep::Inner;", b__deep=""
    )
    assert ("a", "b::deep") in pairs(root)


def test_a_path_that_is_written_out_is_an_import(crate):
    root = crate(lib="mod a;\nmod b;", a="fn f() { super::b::g(); outside::h() }", b="")
    assert pairs(root) == {("a", "b"), ("a", "outside")}


def test_what_only_tests_and_comments_name_is_no_import(crate):
    root = crate(
        lib="mod a;\nmod b;\n#[cfg(test)]\nmod tests;",
        a="""
            // use crate::b::X;
            /* crate::b::y */
            const TEXT: &str = "crate::b::z \\" crate::b::z";
            const RAW: &str = r#"crate::b::z " crate::b::z"#;
            fn of<'a>(quote: char) -> bool { quote == '"' }
            #[cfg(test)]
            #[allow(unused)]
            mod tests { use crate::b::Z; fn f() { g({ 1 }) } }
            #[cfg(test)]
            use crate::b::W;
        """,
        b="",
        tests="use crate::b::X;",
    )
    assert pairs(root) == set()


def test_a_module_within_a_file_is_a_module(crate):
    root = crate(lib="mod a;\npub mod b { pub mod c { pub use other::*; } }", a="use crate::b::c::X;")
    assert pairs(root) == {("a", "b::c"), ("b::c", "other")}


def test_siblings_that_import_each_other_are_a_circle(crate):
    root = crate(
        lib="mod a;\nmod b;\nmod c;", a="use super::b::X;", b="use super::c::X;", c="use super::a::X;"
    )
    (problem,) = circles(root)
    assert problem.startswith("house: crate: a and b and c import each other")


def test_a_circle_may_go_through_what_is_within_a_module(crate):
    root = crate(lib="mod a;\nmod b;", a="mod inner;", a__inner="use crate::b::X;", b="use crate::a::Y;")
    assert len(circles(root)) == 1


def test_a_circle_that_is_allowed_is_missed_when_it_is_gone(crate, monkeypatch):
    monkeypatch.setattr(rules, "CIRCLES", [("house", (), {"a", "b"})])
    assert circles(crate(lib="mod a;\nmod b;", a="use super::b::X;", b="use super::a::X;")) == []
    assert circles(crate(b="")) == ["house: a and b in crate are no circle any more"]


def test_a_module_and_its_own_parts_may_know_each_other(crate):
    root = crate(lib="mod a;", a="mod inner;\nuse inner::X;", a__inner="use super::Y;")
    assert circles(root) == []


def test_an_import_that_goes_up_is_refused():
    (problem,) = rules.order([of_server("catalog", "edge")])
    assert problem == "server/src/catalog/file.rs: catalog imports edge, which does not stand below it"
    assert list(rules.order([of_server("edge", "catalog"), of_server("shared", "shared")])) == []


def test_neighbours_do_not_import_each_other():
    assert len(list(rules.order([of_server("catalog", "profiles")]))) == 1


def test_a_module_without_a_place_is_found():
    (problem,) = rules.order([of_server("attic", "edge")])
    assert "attic has no place" in problem


def test_protobuf_is_the_edges_alone():
    assert list(rules.places([of_server("edge", crate="marquee_proto")])) == []
    (problem,) = rules.places([of_server("app", crate="marquee_proto")])
    assert problem == "server/src/app/file.rs: imports marquee_proto, which belongs to edge"


def test_a_lower_crate_does_not_depend_on_the_wire():
    manifest = """
[dependencies]
bytes.workspace = true
tonic = { workspace = true }

[dev-dependencies]
clap.workspace = true
"""
    (problem,) = rules.manifest("server/store", manifest)
    assert problem == "server/store/Cargo.toml: depends on tonic, which it must not know"


def test_an_exception_ends_with_what_it_was_for(monkeypatch):
    monkeypatch.setattr(rules, "ALLOWED", {("server/src/catalog/file.rs", "edge"): "for now"})
    assert list(rules.order([of_server("catalog", "edge")])) == []
    (problem,) = rules.order([])
    assert problem.startswith("server/src/catalog/file.rs: no longer imports edge")
