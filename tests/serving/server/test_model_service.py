"""Status and reload; the contract tests send them over a channel."""

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server.model_service import (
    get_model_status,
    reload_config,
)
from tests.serving.fake_versions import FakeModels


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path)
    yield made
    made.manager.stop()


def test_a_reload_serves_and_status_shows_it(models):
    models.add(1)
    request = model_management_pb2.ReloadConfigRequest(config=models.config())

    response = reload_config(models.manager, request)

    assert response.status.error_code == 0
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "toy"
    [version] = get_model_status(models.manager, status).model_version_status
    assert (version.version, version.state) == (1, version.AVAILABLE)


def test_a_reload_that_is_given_up_ends(models):
    request = model_management_pb2.ReloadConfigRequest(config=models.config())

    with pytest.raises(ServingError) as caught:
        reload_config(models.manager, request, lambda: True)

    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("field", ["custom_model_config", None])
def test_only_a_list_of_models_can_be_reloaded(models, field):
    request = model_management_pb2.ReloadConfigRequest()
    if field:
        getattr(request.config, field).type_url = "x"

    with pytest.raises(ServingError, match="Only ModelConfigList"):
        reload_config(models.manager, request)
