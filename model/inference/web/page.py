"""The page in gradio's blocks: picture, camera or video in, choices beside it, faces, figures and files out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio

from fakeit.model.inference.web.answers import POINTS, Answer, Job
from fakeit.model.inference.web.choices import OWN_POINTS, adapters
from fakeit.model.inference.web.folder import PrivateFolder
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import filters
from fakeit.pipelines.faces.detector_names import DEFAULT, NAMES
from fakeit.pipelines.faces.draw import GREEN, RED

EXAMPLES = sorted(Path(__file__).parent.glob("examples/*.jpg"))
HEADERS = ["face", "width, px", "mean confidence, %", "points above 50 %"]
NOTHING_YET = "Choose a picture first, or take one with the camera"
CSS = f"""
.gradio-container {{ max-width: 1180px !important; margin: auto; }}
.legend {{ display: flex; align-items: center; gap: .6em; flex-wrap: wrap; font-size: .9em; }}
.legend i {{ width: 9em; height: .8em; border-radius: .4em; background: linear-gradient(90deg, rgb{RED}, rgb{GREEN}); }}
#examples .grid-container {{ grid-template-columns: repeat({len(EXAMPLES)}, minmax(0, 1fr)) !important; }}
@media (max-width: 640px) {{ .gradio-container {{ padding: .5em !important; }} #faces, #film {{ min-height: 0; }} }}
"""
LEGEND = """<div class="legend" id="legend">unsure <i></i> sure — the colour of a point is the chance, as the network
judges itself, that it lies within 3 % of the face crop's side of the truth</div>"""
NO_LEGEND = """<div class="legend" id="legend">This model does not say how sure it is.</div>"""
DARK = """<button id="dark" onclick="document.body.classList.toggle('dark')" title="light or dark">☀ / ☾</button>"""
Ask = Callable[[Job], Answer]


def page(models: dict[str, str], ask: Ask, folder: PrivateFolder) -> Any:
    """The page as gradio blocks.

    Args:
        models: title → file, the first one chosen.
        ask: answers a job; raises FakeitError or Rejected.
        folder: where uploads and answers lie until they are removed.
    """
    first = next(iter(models))
    with gradio.Blocks(title="Fakeit: facial landmarks", analytics_enabled=False) as blocks:
        chosen = gradio.State("", time_to_live=folder.keep_s, delete_callback=folder.forget)
        with gradio.Row():
            gradio.Markdown(f"# Fakeit\nFacial landmarks learnt from synthetic faces. {folder.promise}")
            gradio.HTML(DARK)
        with gradio.Row(equal_height=False):
            with gradio.Column(min_width=300):
                sources = _sources()
                with gradio.Accordion("Choices", open=True):
                    options = _options(models, first)
            with gradio.Column(min_width=300):
                shown = _results()
        pictures = _Handlers(models, ask, folder, video=False)
        films = _Handlers(models, ask, folder, video=True)
        _wire(sources, options, shown, chosen, pictures, films)
        options[0].change(lambda title: _adapter_choices(models[title]), options[0], options[1], api_name=False)
    return blocks


def _sources() -> dict[str, Any]:
    with gradio.Tabs():
        with gradio.Tab("Picture"):
            # A plain file: it reaches our own strict reader, whose messages say what is wrong with it.
            upload = gradio.File(label="JPEG, PNG, WebP, GIF, BMP or TIFF", type="filepath", elem_id="upload")
            gallery = None
            if EXAMPLES:
                gallery = gradio.Gallery(
                    [str(file) for file in EXAMPLES], label="… or one of these rendered faces", columns=4, height=150,
                    allow_preview=False, interactive=False, object_fit="cover", buttons=[], elem_id="examples",
                )  # fmt: skip
        with gradio.Tab("Camera", elem_id="camera-tab"):
            camera = _camera()
        with gradio.Tab("Video", elem_id="video-tab"):
            video = gradio.File(label="MP4, WebM, MOV or AVI", type="filepath", elem_id="video")
            follow = gradio.Button("Follow faces", elem_id="follow")
    find = gradio.Button("Find faces", variant="primary", elem_id="find")
    return {"upload": upload, "gallery": gallery, "camera": camera, "video": video, "follow": follow, "find": find}


def _camera() -> Any:
    """gradio's image without its own decoding: bytes are opened in a worker only."""
    camera = gradio.Image(label="The camera", sources=["webcam"], type="filepath", elem_id="camera")
    camera.preprocess = lambda sent: None if sent is None else str(sent.path)
    return camera


def _options(models: dict[str, str], first: str) -> list[Any]:
    return [
        gradio.Dropdown(list(models), value=first, label="Model", elem_id="model"),
        gradio.Dropdown(adapters(models[first]), value=OWN_POINTS, label="Numbering of the points", elem_id="adapter"),
        gradio.Radio(list(NAMES), value=DEFAULT, label="Face detector"),
        gradio.Radio([POINTS, *filters.FILTERS], value=POINTS, label="Show"),
    ]


def _adapter_choices(model: str) -> Any:
    return gradio.Dropdown(adapters(model), value=OWN_POINTS)


def _results() -> list[Any]:
    """In the order of `_Handlers`' outputs."""
    quiet = ["download", "fullscreen"]  # no share button: it posts to a service that this page does not speak to
    return [
        gradio.Image(label="Faces", type="filepath", format="png", interactive=False, buttons=quiet, elem_id="faces"),
        gradio.Video(label="Faces", interactive=False, visible=False, buttons=["download"], elem_id="film"),
        gradio.Textbox(label="Found", elem_id="line", interactive=False, lines=2),
        gradio.HTML(LEGEND),
        gradio.Dataframe(headers=HEADERS, interactive=False, visible=False, elem_id="table", label="Each face"),
        gradio.File(label="The points as files", interactive=False, visible=False, elem_id="downloads"),
    ]


class _Handlers:
    """From the page's events to jobs, and from answers to what is shown."""

    def __init__(self, models: dict[str, str], ask: Ask, folder: PrivateFolder, video: bool) -> None:
        self.models, self.ask, self.folder, self.video = models, ask, folder, video

    def show(self, file: str | None, model: str, adapter: str, detector: str, what: str) -> tuple[Any, ...]:
        try:
            made = self._answer(file, model, adapter, detector, what)
        except (FakeitError, Rejected) as error:
            return self._shown(None, f"⚠ {str(error).replace(file or '?', 'this file')}")
        return self._shown(made, made.line)

    def _answer(self, file: str | None, model: str, adapter: str, detector: str, what: str) -> Answer:
        if not file:
            raise FakeitError(NOTHING_YET if not self.video else "Choose a video first")
        if not Path(file).is_file():
            raise FakeitError("this file was removed after its time; choose it once more")
        if model not in self.models:
            raise FakeitError(f"no model called {model[:80]!r} here")
        named = None if adapter in ("", OWN_POINTS) else adapter
        if named is not None and named not in adapters(self.models[model]):
            raise FakeitError(f"this model has no adapter {named[:80]!r}")
        return self.ask(Job(file, self.folder.make(), self.models[model], detector, named, what, self.video))

    def _shown(self, made: Answer | None, line: str) -> tuple[Any, ...]:
        drawn = None if made is None else made.drawn
        legend = LEGEND if made is None or made.judges else NO_LEGEND
        rows: Sequence[Any] = [] if made is None else made.faces
        files = [] if made is None else made.downloads
        return (
            gradio.Image(None if self.video else drawn, visible=not self.video),
            gradio.Video(drawn if self.video else None, visible=self.video),
            line,
            legend,
            gradio.Dataframe(rows or None, visible=bool(rows)),
            gradio.File(files or None, visible=bool(files)),
        )

    def find(self, file: str | None, model: str, adapter: str, detector: str, what: str) -> dict[str, Any]:
        """For programs: the answer as a table; the upload is removed at once."""
        try:
            made = self._answer(file, model, adapter, detector, what)
            points = json.loads(Path(made.downloads[0]).read_text()) if made.downloads else {"pictures": []}
            return {"line": made.line, **points}
        except (FakeitError, Rejected) as error:
            return {"line": f"⚠ {str(error).replace(file or '?', 'this file')}", "pictures": []}
        finally:
            self.folder.forget(file or "")


def _wire(
    sources: dict[str, Any],
    options: list[Any],
    shown: list[Any],
    chosen: Any,
    pictures: _Handlers,
    films: _Handlers,
) -> None:
    folder = pictures.folder
    asked = [chosen, *options]

    def choose(file: str | None, before: str) -> str:
        if file != before:
            folder.forget(before)
        return file or ""

    def example(event: gradio.SelectData, before: str) -> str:
        return choose(str(EXAMPLES[event.index]), before)

    # Whichever came last is the picture: 'Find faces' and every choice ask about that one.
    for event, inputs, take in (
        (sources["upload"].upload, [sources["upload"], chosen], choose),
        (sources["camera"].input, [sources["camera"], chosen], choose),
        *([(sources["gallery"].select, [chosen], example)] if sources["gallery"] is not None else []),
    ):
        event(take, inputs, chosen, api_name=False).then(pictures.show, asked, shown, api_name=False)
    for choice in options[1:]:
        choice.input(_again(pictures), asked, shown, api_name=False)
    options[0].input(_again(pictures), asked, shown, api_name=False)
    sources["find"].click(pictures.show, asked, shown, api_name=False, concurrency_id="work")
    sources["follow"].click(films.show, [sources["video"], *options], shown, api_name=False, concurrency_id="work")
    file, table = gradio.File(visible=False), gradio.JSON(visible=False)
    names = [gradio.Textbox(visible=False) for _ in options]
    gradio.Button(visible=False).click(pictures.find, [file, *names], table, api_name="find", concurrency_id="work")


def _again(pictures: _Handlers) -> Callable[..., tuple[Any, ...]]:
    """A choice was changed: asks again where there is a picture, and is silent where there is none."""

    def show(file: str | None, *options: str) -> tuple[Any, ...]:
        return pictures.show(file, *options) if file else pictures._shown(None, "")  # type: ignore[arg-type]

    return show
