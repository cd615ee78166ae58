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
    assert!(error("nowhere/read@1").contains("there are github"));
    assert!(error("github/raed@1").contains("it has read@1"));
}
