"""The main screen: conversations at the left, the log, the prompt, and the status lines below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from secondme.errors import SecondMeError
from secondme.tui import show
from secondme.tui.adding import Adding
from secondme.tui.answering import Answering, Asked, answer_job
from secondme.tui.commands import is_command, parsed
from secondme.tui.conversing import Conversing
from secondme.tui.drop import typed_paths
from secondme.tui.errors import show_error
from secondme.tui.gate import load_job
from secondme.tui.learning import Learning
from secondme.tui.messages import (
    AnswerStep,
    BuildEnded,
    BuildStep,
    ConversationsListed,
    ConversationStarted,
    IngestEnded,
    IngestStep,
    JobEnded,
    ModelReady,
    ProjectOpened,
    ProjectStep,
    TurnsLoaded,
    Unlearned,
)
from secondme.tui.opening import Opening
from secondme.tui.tally import PERIOD_S
from secondme.tui.widgets.citations import CitationList
from secondme.tui.widgets.log import ChatLog
from secondme.tui.widgets.prompt import Prompt
from secondme.tui.widgets.sidebar import ConversationList, Sidebar
from secondme.tui.widgets.status import BuildLine, IngestLine, KeyLine, StatusLine
from secondme.types import Learned, PrefillProgress

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.tui.jobs import Jobs


@dataclass(frozen=True, slots=True, repr=False)
class Covered:
    """What is kept of the screen while memory is locked, in RAM only."""

    conversation_id: int | None
    draft: str


class ChatScreen(Screen[None]):
    """Turns intents of its widgets into jobs, and what jobs report into changes of its widgets."""

    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop_answer", "Stop", show=False),
        Binding("ctrl+b", "toggle_sidebar", "Conversations"),
        Binding("ctrl+n", "new_conversation", "New"),
        Binding("ctrl+o", "citations", "Citations"),
    ]

    def __init__(self, jobs: Jobs, project: str, model: str, *, go_on: bool = False) -> None:
        super().__init__()
        self._goes_on = go_on
        self._jobs = jobs
        self._project = project
        self._model = model
        self._assistant: Assistant | None = None
        self._conversing = Conversing(self, jobs, project)
        self._answering = Answering()
        self._adding = Adding(self, jobs, project)
        self._opening = Opening(self, jobs, project)
        self._learning = Learning(self, jobs)

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            yield Sidebar()
            with Vertical(id="column"):
                yield ChatLog()
                yield IngestLine()
                yield BuildLine()
                yield Prompt()
        yield StatusLine(self._project)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(StatusLine).show_model("opening memory …")
        self._show_keys()

    # The store and the models ----------------------------------------------------------------------------------

    def open(self, assistant: Assistant, covered: Covered | None = None) -> None:
        """The store is open: list what it holds, show what was `covered`, then load the models."""
        self._assistant = assistant
        self.query_one(StatusLine).show_model(f"loading {self._model} …")
        self._conversing.open(assistant)
        if covered is not None:
            self.query_one(Prompt).uncover(covered.draft)
            if covered.conversation_id is not None:
                self._conversing.switch(covered.conversation_id)
        self._jobs.start(self, "models", load_job(assistant))
        self._adding.open(assistant)

    async def cover(self) -> Covered:
        """Memory is being locked: stop what runs, and let go of all that is shown."""
        self._assistant = None
        covered = Covered(self._conversing.current, self.query_one(Prompt).cover())
        self._answering.drop()
        self._adding.pause()
        self._conversing.pause()
        self._opening.pause()
        self._learning.pause()
        self._list_conversations()
        await self.query_one(ChatLog).show_turns([])
        self.query_one(IngestLine).show_view(None)
        status = self.query_one(StatusLine)
        status.show_opened(None)
        status.show_model("locked")
        status.hide_usage()
        self.query_one(BuildLine).hide()
        return covered

    def on_model_ready(self, message: ModelReady) -> None:
        if self._assistant is None:
            return
        status = self.query_one(StatusLine)
        status.show_model(message.name)
        status.show_usage(message.usage)
        self._opening.open(self._assistant)
        self._learning.open(self._assistant)

    async def on_job_ended(self, message: JobEnded) -> None:
        running, error = message.running, message.error
        if running.group == "answer":
            await self._answering.ended(running, error)
            self._show_keys()
            self._learning.reflect()
            return
        self._learning.ended(running)
        if self._adding.ended(running):
            self.query_one(IngestLine).show_view(None)
        if running.group in ("opening", "building"):
            self.query_one(BuildLine).hide()
        self._opening.ended(running)
        if self._assistant is None:
            return  # locked meanwhile, and the error is that of a closed store
        if running.group == "models" and error is not None:
            self.query_one(StatusLine).show_model(f"{self._model} is not loaded")
        if error is not None:
            show_error(self.app, error)

    # Asking ----------------------------------------------------------------------------------------------------

    async def on_prompt_submitted(self, message: Prompt.Submitted) -> None:
        try:
            if is_command(message.text):
                await self._command(message.text)
            elif self._assistant is None:
                self.app.notify("memory is still being opened", severity="warning", markup=False)
            elif self._answering.busy:
                self.app.notify("one answer at a time: esc stops this one", severity="warning", markup=False)
            else:
                await self._ask(self._assistant, message.text)
        except SecondMeError as error:
            show_error(self.app, error)

    async def _command(self, text: str) -> None:
        command, argument = parsed(text)
        if command.action == "screen.compose_add":
            self._adding.add(typed_paths(argument))
        self.query_one(Prompt).taken(text)
        if command.action != "screen.compose_add":
            await self.run_action(command.action)

    async def _ask(self, assistant: Assistant, question: str) -> None:
        self.query_one(Prompt).taken(question)
        turn = await self.query_one(ChatLog).begin(question)
        turn.waiting("looking …")
        text = self._answering.begin(turn)
        job = answer_job(assistant, Asked(question, self._conversing.current, self._project), text)
        self._answering.started(self._jobs.start(self, "answer", job))
        self._show_keys()

    async def on_answer_step(self, message: AnswerStep) -> None:
        if self._assistant is None:
            return
        if message.event is None:
            await self._look_for_text()
            return
        if isinstance(message.event, Learned):
            self._learning.learned(message.event)
        await self._answering.step(message.event)
        if usage := getattr(message.event, "usage", None):
            self.query_one(StatusLine).show_usage(usage)

    async def _look_for_text(self) -> None:
        if await self._answering.look():
            self.set_timer(PERIOD_S, self._look_for_text)

    def action_stop_answer(self) -> None:
        if not self._answering.stop():
            self.query_one(Prompt).focus()

    @property
    def answering(self) -> bool:
        return self._answering.busy

    @property
    def adding(self) -> bool:
        return self._adding.busy

    # What is known ---------------------------------------------------------------------------------------------

    def on_prompt_undo_asked(self) -> None:
        self.action_unlearn()

    def action_unlearn(self) -> None:
        if not self._learning.undo():
            self.app.notify("nothing was learned that could be undone", markup=False)

    async def on_unlearned(self, message: Unlearned) -> None:
        if self._assistant is not None:
            held = f"; so again: {', '.join(message.again)}" if message.again else ""
            await self.query_one(ChatLog).note(f"taken back{held}")

    def action_memories(self) -> None:
        from secondme.tui.screens.memories import MemoriesScreen

        if self._assistant is not None:
            self.app.push_screen(MemoriesScreen(self._assistant, self._jobs, self._project))

    # Adding files ----------------------------------------------------------------------------------------------

    def on_prompt_dropped(self, message: Prompt.Dropped) -> None:
        self._adding.add(message.paths)
        if self._assistant is None:
            self.app.notify("added as soon as memory is open", markup=False)

    async def on_paste(self, event: events.Paste) -> None:
        """A drop while a list has the focus."""
        event.stop()
        await self.query_one(Prompt).take_paste(event.text)

    def on_ingest_step(self, message: IngestStep) -> None:
        view = message.mailbox.take()
        if view is not None and self._assistant is not None:
            # A folder that is followed is looked through often; only what is new is worth a line.
            quiet = message.watching and not (view.n_chunks or view.n_chunks_file)
            self.query_one(IngestLine).show_view(None if quiet else view)
            self.set_timer(PERIOD_S, partial(self.on_ingest_step, message))

    async def on_ingest_ended(self, message: IngestEnded) -> None:
        view, done = message.view, message.view.done
        self.query_one(IngestLine).show_view(None)
        if done is None or self._assistant is None:
            return
        if done.n_stored or done.n_removed:
            self._opening.renew()
        if not message.watching:
            await self.query_one(ChatLog).note(show.ingest_summary(done), show.skip_note(view.skip, view.n_skipped))
        elif done.n_stored or done.n_removed:
            self.app.notify(f"a folder changed: {show.ingest_summary(done)}", markup=False)

    def action_compose_add(self) -> None:
        prompt = self.query_one(Prompt)
        prompt.load_text("/add ")
        prompt.move_cursor(prompt.document.end)
        prompt.focus()

    def action_stop_adding(self) -> None:
        if not self._adding.stop():
            self.app.notify("no files are being added", markup=False)

    # The project's documents -----------------------------------------------------------------------------------

    def on_project_step(self, message: ProjectStep) -> None:
        if self._assistant is None:
            return
        if isinstance(message.event, PrefillProgress):
            self.query_one(BuildLine).show_reading(message.event)
        else:
            self.app.notify(show.one_line(message.event.message, 300), markup=False)

    def on_project_opened(self, message: ProjectOpened) -> None:
        if self._assistant is not None:
            self._opening.is_open(message.opened)
            status = self.query_one(StatusLine)
            status.show_opened(message.opened)
            status.show_usage(self._assistant.usage)

    def on_build_step(self, message: BuildStep) -> None:
        view = message.mailbox.take()
        if view is not None and self._assistant is not None:
            self.query_one(BuildLine).show_view(view)
            self.set_timer(PERIOD_S, partial(self.on_build_step, message))

    def on_build_ended(self, message: BuildEnded) -> None:
        done = message.view.done
        if self._assistant is None or done is None or not message.view.n_stored:
            return
        self.app.notify(
            f"{show.count(done.n_built, 'document')} prepared, and opened at once from now on", markup=False
        )
        self._opening.renew()

    def action_documents(self) -> None:
        from secondme.tui.screens.documents import DocumentsScreen

        if self._assistant is not None:
            self.app.push_screen(DocumentsScreen(self._assistant, self._jobs, self._project, self._opening.opened))

    # Conversations ---------------------------------------------------------------------------------------------

    async def on_conversations_listed(self, message: ConversationsListed) -> None:
        if self._assistant is None:
            return
        self._conversing.known = message.conversations
        if self._goes_on and message.conversations and self._conversing.current is None:
            self._conversing.switch(max(message.conversations, key=lambda c: c.updated_at).id)
        self._goes_on = False
        current = self._conversing.current
        # A list that was read before a question opened its conversation does not hold it yet.
        if current is not None and not self._answering.busy and self._conversing.current_conversation() is None:
            await self._start_anew()
        self._list_conversations()

    def _list_conversations(self) -> None:
        self.query_one(ConversationList).show(self._conversing.known, self._conversing.current)

    def on_conversation_started(self, message: ConversationStarted) -> None:
        self._conversing.current = message.conversation_id

    async def on_turns_loaded(self, message: TurnsLoaded) -> None:
        if self._assistant is not None and message.conversation_id == self._conversing.current:
            await self.query_one(ChatLog).show_turns(message.turns)
            prompt = self.query_one(Prompt)
            prompt.recall_from([turn.text for turn in message.turns if turn.role == "user"])
            prompt.focus()

    def on_conversation_list_chosen(self, message: ConversationList.Chosen) -> None:
        conversation = message.conversation
        if message.what == "rename":
            self._conversing.rename(self.app, conversation)
        elif message.what == "open" and self._free():
            self._conversing.switch(conversation.id)
            self._list_conversations()
            self.remove_class("-sidebar-narrow")
        elif message.what == "delete" and (conversation.id != self._conversing.current or self._free()):
            self._conversing.delete(self.app, conversation)

    async def action_new_conversation(self) -> None:
        if self._free():
            await self._start_anew()
            self._list_conversations()
            self.query_one(Prompt).focus()

    async def _start_anew(self) -> None:
        self._conversing.current = None
        await self.query_one(ChatLog).show_turns([])

    def action_rename(self) -> None:
        self._with_current("rename")

    def action_delete(self) -> None:
        self._with_current("delete")

    def _with_current(self, what: str) -> None:
        conversation = self._conversing.current_conversation()
        if conversation is None:
            self.app.notify("no conversation is open", markup=False)
        else:
            self.on_conversation_list_chosen(ConversationList.Chosen(conversation, what))

    def _free(self) -> bool:
        if self._answering.busy:
            self.app.notify("the answer is still being written: esc stops it", severity="warning", markup=False)
        return not self._answering.busy

    # Looking around --------------------------------------------------------------------------------------------

    async def on_prompt_paged(self, message: Prompt.Paged) -> None:
        await self.query_one(ChatLog).page(message.direction)

    def action_toggle_sidebar(self) -> None:
        # Wide windows show the list unless it was closed, narrow ones hide it unless it was opened.
        wide = self.has_class("-wide")
        self.toggle_class("-sidebar-closed" if wide else "-sidebar-narrow")
        shown = self.has_class("-sidebar-narrow") if not wide else not self.has_class("-sidebar-closed")
        (self.query_one(ConversationList) if shown else self.query_one(Prompt)).focus()

    def action_citations(self) -> None:
        newest = self.query_one(ChatLog).newest_citations()
        if newest is None:
            self.app.notify("there is no answer with citations yet", markup=False)
        else:
            self._preview(CitationList.Chosen(newest.citations, 0))

    def on_citation_list_chosen(self, message: CitationList.Chosen) -> None:
        self._preview(message)

    def _preview(self, chosen: CitationList.Chosen) -> None:
        from secondme.tui.screens.preview import PreviewScreen

        if self._assistant is not None:
            self.app.push_screen(PreviewScreen(self._assistant, self._jobs, chosen.citations, chosen.at))

    def action_sources(self) -> None:
        from secondme.tui.screens.sources import SourcesScreen

        if self._assistant is not None:
            self.app.push_screen(SourcesScreen(self._assistant, self._jobs, self._project), self._looked_at_sources)

    def _looked_at_sources(self, changed: bool | None) -> None:
        if changed:
            self._opening.renew()

    def on_descendant_focus(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        self.query_one(KeyLine).show_for(self.focused, busy=self._answering.busy)
