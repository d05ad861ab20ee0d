"""The help of all commands as one Markdown page: `python -m gsr_plugin.cli_text > docs/commands.md`."""

import click

from gsr_plugin.cli import main

TWINS = {
    "export": "circuit_io.export.export_design",
    "import": "circuit_io.importers.import_design",
    "train": "gsr_plugin.train.train",
    "finetune": "gsr_plugin.finetune.finetune",
    "evaluate": "gsr_plugin.evaluate.evaluate",
    "calibrate": "gsr_plugin.calibration.calibrate",
    "predict": "gsr_plugin.predict.predict",
    "route": "circuit_io.router_prediction.route_export",
    "label": "flow_hooks.labels.labeler.label",
    "feedback": "flow_hooks.feedback.plan_prediction.plan_prediction",
    "loop": "flow_hooks.loop.runner.run_loop",
    "access-points": "flow_hooks.openroad.access_points.library_access_points",
    "report": "gsr_plugin.report.report",
    "check": "gsr_plugin.check.check",
    "weights": "gsr_plugin.weights_card.do",
    "bench": "gsr_plugin.bench.run_bench",
    "flow": "gsr_plugin.flow.run_flow",
    "serve": "gsr_plugin.served_command.serve",
    "doctor": "gsr_plugin.doctor.doctor",
    "conformance": "flow_hooks.openroad.conformance.conformance",
}


def commands_page() -> str:
    """The page."""
    out = [
        "# Commands",
        "",
        "Made from the program's own help by `python -m gsr_plugin.cli_text`. stdout carries the result alone, stderr",
        "the rest. Exit codes: 0 done, 1 done and a check failed, 2 bad usage or input, 3 an outside tool failed, 130",
        "interrupted.",
        "",
    ]
    for name, command in main.commands.items():
        context = click.Context(
            command, info_name=f"gsr {name}", terminal_width=100, help_option_names=["-h", "--help"]
        )
        out += [f"## gsr {name}", ""]
        if name in TWINS:
            out += [f"In Python: `{TWINS[name]}`.", ""]
        out += ["```text", command.get_help(context), "```", ""]
    return "\n".join(out)


if __name__ == "__main__":
    click.echo(commands_page(), nl=False)
