"""Lightning's advertisements stay out of the logs, its news stays in."""

import logging
import warnings

from vqe.training import assembly


def test_a_run_logs_no_advertisement(tiny_config, caplog):
    config = tiny_config("callbacks.checkpoint=null", "trainer.accelerator=auto")
    data, module = assembly.build_data(config), assembly.build_module(config)
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assembly.build_trainer(config).fit(module, datamodule=data)
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("GPU available: ") for line in said)
    assert any("`max_epochs=" in line for line in said)
    assert not [line for line in said if "Tip" in line or "litlogger" in line or "TPU" in line]
    assert [str(warning.message) for warning in warned] == []
