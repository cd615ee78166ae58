use super::*;

#[test]
fn what_is_compiled_in_is_sound() {
    if let Err(problems) = Catalogue::read(&DOCUMENTS) {
        panic!("{problems}");
    }
}

#[test]
fn a_set_that_is_not_there_is_told_with_those_that_are() {
    let catalogue = Catalogue::built_in();
    let error = |text: &str| catalogue.set(&SetName::parse(text).unwrap()).unwrap_err().to_string();
    assert!(error("githbu/read@1").contains("did you mean github?"));
    assert!(error("nowhere/read@1").contains("there are anthropic, aws, github"));
    assert!(error("github/raed@1").contains("it has clone@1, read@1"));
}

#[test]
fn what_a_start_reads_is_what_is_written_but_for_the_tests() {
    let (whole, lean) = (Catalogue::read(&DOCUMENTS).unwrap(), Catalogue::built_in());
    for (whole, lean) in whole.providers().iter().zip(lean.providers()) {
        assert!(!whole.tests.is_empty() && lean.tests.is_empty(), "{}", whole.title);
        let untested = Provider { tests: Vec::new(), ..whole.clone() };
        assert_eq!(format!("{untested:?}"), format!("{lean:?}"));
    }
}
