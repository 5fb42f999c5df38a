"""Errors of a start: what the one who raises them said goes with them."""

from server.reload.start_errors import CannotStart, Offer, Undecided


def test_what_cannot_start_ends_the_process_with_its_code() -> None:
    error = CannotStart("The data are of another version.", 3)
    assert isinstance(error, SystemExit)
    assert (error.code, error.words) == (3, "The data are of another version.")


def test_a_question_has_its_words_and_what_is_offered() -> None:
    offers = [Offer("Go on as it is.", "keep", "Go on"), Offer("Edit the code.")]
    error = Undecided("The file is newer.", offers)
    assert (str(error), error.offers) == ("The file is newer.", tuple(offers))
    assert offers[1].choice == "", "nothing to choose"
