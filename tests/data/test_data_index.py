import pandas as pd
import pytest

from vqe.data.index import group_videos, read_index, split_videos
from vqe.schema import VIDEO_KEY


def edit(data_folder, tmp_path, change):
    table = pd.read_csv(data_folder / "train.csv", dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(tmp_path / "broken.csv", index=False)
    return tmp_path / "broken.csv"


def test_rows_carry_the_line_of_the_csv(data_folder):
    table = read_index(data_folder / "train.csv")
    lines = (data_folder / "train.csv").read_text().splitlines()
    last = table.iloc[-1]
    assert lines[last["row"] - 1].startswith(last["img_source"])


def test_query_chooses_rows_and_keeps_their_lines(data_folder):
    table = read_index(data_folder / "train.csv", 'subset == "train_unsupervised"')
    assert set(table["subset"]) == {"train_unsupervised"}
    assert table["row"].min() > 2


def test_query_that_leaves_nothing_is_refused(data_folder):
    with pytest.raises(ValueError, match="got none"):
        read_index(data_folder / "train.csv", 'video_id == "video_9999"')


def test_query_with_an_unknown_column_lists_the_columns(data_folder):
    with pytest.raises(ValueError, match="img_source, img_target, h, w, subset, video_id"):
        read_index(data_folder / "train.csv", "videoid == 1")


def test_missing_csv_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dataset_builder\.py"):
        read_index(tmp_path / "train.csv")


@pytest.mark.parametrize("value", ["0", "-3", "12.5", "wide", ""])
def test_a_size_that_is_none_names_file_row_and_column(data_folder, tmp_path, value):
    def change(table):
        table.loc[2, "w"] = value

    with pytest.raises(ValueError, match=r"broken\.csv, row 4, column w"):
        read_index(edit(data_folder, tmp_path, change))


@pytest.mark.parametrize("column", ["subset", "img_source", "video_id"])
def test_a_wrong_name_names_file_row_and_column(data_folder, tmp_path, column):
    def change(table):
        table.loc[1, column] = ""

    with pytest.raises(ValueError, match=rf"broken\.csv, row 3, column {column}"):
        read_index(edit(data_folder, tmp_path, change))


def test_wrong_columns_are_refused(data_folder, tmp_path):
    path = edit(data_folder, tmp_path, lambda table: table.insert(0, "extra", "1"))
    with pytest.raises(ValueError, match="expected columns img_source"):
        read_index(path)


def test_split_cuts_whole_videos_of_each_subset(data_folder):
    table = read_index(data_folder / "train.csv")
    train, valid = split_videos(table, 0.34, seed=1)
    assert len(train) + len(valid) == len(table)
    videos = [set(map(tuple, part[VIDEO_KEY].astype(str).to_numpy())) for part in (train, valid)]
    assert not videos[0] & videos[1]
    assert {subset for subset, _ in videos[1]} == set(table["subset"])


def test_split_does_not_depend_on_the_order_of_rows(data_folder):
    table = read_index(data_folder / "train.csv")
    cuts = [
        set(split_videos(t, 0.34, seed=3)[1]["img_source"])
        for t in (table, table.iloc[::-1].reset_index(drop=True))
    ]
    assert cuts[0] == cuts[1]


def test_different_seeds_cut_different_videos(data_folder):
    table = read_index(data_folder / "train.csv")
    cuts = {frozenset(split_videos(table, 0.34, seed=s)[1]["img_source"]) for s in range(8)}
    assert len(cuts) > 1


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_split_refuses_a_fraction_out_of_range(data_folder, fraction):
    with pytest.raises(ValueError, match="valid_fraction"):
        split_videos(read_index(data_folder / "train.csv"), fraction, seed=0)


def with_grid(data_folder, tmp_path, frame, fps):
    def change(table):
        table["frame"], table["fps"] = "", ""
        table.loc[2, ["frame", "fps"]] = frame, fps

    return edit(data_folder, tmp_path, change)


def test_rows_of_videos_and_of_images_may_be_mixed(data_folder, tmp_path):
    table = read_index(with_grid(data_folder, tmp_path, "7", "30"))
    assert table["frame"].tolist()[:4] == [-1, -1, 7, -1]
    assert table["fps"].tolist()[:4] == [-1, -1, 30, -1]
    assert table["frame"].dtype == table["fps"].dtype == "int32"


@pytest.mark.parametrize(
    ("frame", "fps", "column"),
    [("", "30", "frame"), ("7", "", "fps"), ("-1", "30", "frame"), ("7", "0", "fps"),
     ("7.5", "30", "frame"), ("seven", "30", "frame")],
)  # fmt: skip
def test_half_a_grid_position_names_file_row_and_column(data_folder, tmp_path, frame, fps, column):
    with pytest.raises(ValueError, match=rf"broken\.csv, row 4, column {column}"):
        read_index(with_grid(data_folder, tmp_path, frame, fps))


def test_query_may_choose_by_frame(data_folder, tmp_path):
    assert len(read_index(with_grid(data_folder, tmp_path, "7", "30"), "frame == 7")) == 1


def test_time_order_counts_digits_and_frames(data_folder):
    table = read_index(data_folder / "test.csv", 'video_id == "video_0003"')
    table["img_source"] = [f"x/frame_{n}.png" for n in (10000, 9999, 9998, 10001, 1)]
    assert group_videos(table)["test_unsupervised", "video_0003"].tolist() == [4, 2, 1, 0, 3]
    table["img_source"], table["frame"] = "x.mp4", [10, 9, 100, 2, 3]
    assert group_videos(table)["test_unsupervised", "video_0003"].tolist() == [3, 4, 1, 0, 2]
