"""The flow, first half: a manifest becomes frozen plans, a report becomes values again."""

from interplay_api.catalog import Catalog, Entry, Layer, builtin_layer
from interplay_api.evaluation import EvaluationSpec
from interplay_api.report import (
    CellResult,
    Report,
    Value,
    decode_log,
    decode_termination,
    encode_log,
    encode_report,
    encode_termination,
    parse_report,
)
from interplay_api.resolve import resolve

TOP_K = Entry(
    "Measurement", "acc", {"category": "benefit", "entryPoint": "top-k", "datasets": ["digits"]}
)


def test_adding_a_model_adds_one_run_and_renames_none() -> None:
    catalog = Catalog([Layer("test", [TOP_K]), builtin_layer()])

    def names(*models: str) -> list[str]:
        spec = EvaluationSpec.model_validate(
            {
                "models": [{"inline": {"timm": m}} for m in models],
                "measurements": {"names": ["acc"]},
            }
        )
        return [r.name for r in resolve("demo", "default", spec, catalog, image="r").runs]

    assert names("resnet18", "resnet34")[:1] == names("resnet18")
    assert len(set(names("resnet18", "resnet34"))) == 2


def test_a_report_survives_both_ways_out_of_a_pod() -> None:
    values = [Value(metric=f"m{i}", value=i / 7, n=600, method="wilson") for i in range(60)]
    report = Report(plan_digest="a" * 64, cells=[CellResult(state="Succeeded", values=values)])
    data = encode_report(report)
    sha, inline = decode_termination(encode_termination(data).decode())
    assert inline == data
    assert decode_log(["noise", *encode_log(data)], sha) == data
    assert parse_report(data).cells[0].values[3].value == float(f"{3 / 7:.9g}")
