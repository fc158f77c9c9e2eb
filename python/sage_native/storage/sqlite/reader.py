"""Reading, beside the writer: it sees what was committed when it is asked, and waits for nobody."""

from __future__ import annotations

from sage_native.storage.sqlite.connection import is_busy
from sage_native.storage.sqlite.worker import Question, Worker, by_work, pause, wanted

__all__ = ["Reader"]


class Reader(Worker):
    """Answers questions that change nothing."""

    def _answer(self, questions: list[Question]) -> None:
        for group in by_work(questions):
            self._answer_group(group)

    def _answer_group(self, group: list[Question]) -> None:
        while asked := wanted(group):
            try:
                connection = self._file.connection()
                answers = asked[0].work(connection, [question.item for question in asked])
            except Exception as error:  # noqa: BLE001 - handed on to every caller
                if is_busy(error):
                    # Somebody opens, recovers or locks the file: not for long, or until we give up.
                    pause()
                    continue
                self._file.close_after(error)
                if len(asked) == 1:
                    asked[0].answer = error
                else:  # one of them may be at fault, and the others are not
                    for question in asked:
                        self._answer_group([question])
                return
            for question, answer in zip(asked, answers, strict=True):
                question.answer = answer
            return
