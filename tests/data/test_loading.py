"""What the loading benchmark decodes as a yardstick is what the loaders load."""

import loading
import torch


def test_every_source_holds_the_same_frames(tmp_path):
    loading.make_data(tmp_path, loading.QUICK)
    png, video = (loading.build_loader(tmp_path, case, 0).dataset for case in ("png", "video"))
    assert len(png) == len(video) == 20
    assert all(torch.equal(png[i]["x"], video[i]["x"]) for i in range(20))
