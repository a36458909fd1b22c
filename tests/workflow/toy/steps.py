"""The step, the table and the claim of the toy study."""

import pandas as pd

from firstorder import files
from firstorder.jobs.context import Context
from firstorder.jobs.job import Files, Spec
from firstorder.publish.registry import Results, claim, table
from firstorder.publish.table import Table
from firstorder.publish.verdict import Verdict, exact, judge


def measure(spec: Spec, inputs: Files, outputs: Files, context: Context) -> None:
    from firstorder.data.prepared import read_prepared

    pixels = read_prepared(inputs["dataset"]).train_images[:] / 255.0
    files.write_json(outputs["mean"], {"mean": float((pixels ** spec["power"]).mean())})


@table("mean-pixel", reads=("mean",))
def mean_pixel(results: Results, *, digits: int = 3) -> Table:
    mean = files.read_json(results.path("mean"))["mean"]
    row = {"section": "Pixels", "row": results.spec["dataset"], "corner": "Data", "column": "mean"}
    row |= {"mean": mean, "text": f"{mean:.{digits}f}", "best": False}
    return Table(pd.DataFrame([row]), ("Bold: none. Published: [a] <nobody> & nowhere.",))


@claim("dark", reads=("mean",))
def dark(results: Results, *, most: float = 0.5) -> Verdict:
    mean = files.read_json(results.path("mean"))["mean"]
    return judge(exact(mean, most, "below", name="mean"), "The mean pixel.")
