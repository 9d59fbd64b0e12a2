import pytest

from deepfm_tf.data.column_names import is_id_name, is_time_name

IDS = """
    id Id ID ids userId movieId itemID itemIDs adId uid UID user_id gid userid
    movieid adid deviceid user-id USER_ID UserID id_producto site_id C1_id city
    deviceCity zip zipcode uuid item_id_2 user.id user City device_model_id
""".split()
NO_IDS = """
    paid valid grid humid bid aid void rapid solid android hybrid covid liquid
    fluid acid PAID Valid isValid gridSize num_users n_ids user_count price
    hours_per_week age identity idle video width userAge
""".split()


@pytest.mark.parametrize("name", [*IDS, "user id"])
def test_ids_are_known_by_their_names(name):
    assert is_id_name(name)


@pytest.mark.parametrize("name", [*NO_IDS, "C14", "性別", ""])
def test_other_names_are_not_of_ids(name):
    assert not is_id_name(name)


@pytest.mark.parametrize(
    "name",
    "time timestamp ts event_ts eventTime created_at seenAt date dt updated "
    "last_update_timestamp unixtime datetime DATE".split(),
)
def test_times_are_known_by_their_names(name):
    assert is_time_name(name)


@pytest.mark.parametrize(
    "name", "at_home price sometimes candidate_x counts status format".split()
)
def test_other_names_are_not_of_times(name):
    assert not is_time_name(name)
