"""What must moto know beyond its own to play AWS for our templates? Public parameters, and wait conditions that really wait.

    moto_server.py PORT SIGNALS

SIGNALS is a folder: a signal that a machine sends to the wait condition of stack NAME is written there, by the rehearsal's own
stand-in for the address, as NAME.json.
"""

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.core.common_models import CloudFormationModel
from moto.server import ThreadedMotoServer
from moto.ssm.models import Parameter, ssm_backends

from box import ACCOUNT, PUBLIC_PARAMETERS, REGION, WAIT_HOST

PORT, SIGNALS = int(sys.argv[1]), Path(sys.argv[2])


class WaitConditionHandle(CloudFormationModel):
    """An address to signal to: as long and as full of special characters as the real ones, which user data must quote."""

    __module__ = "moto.cloudformation.wait"  # moto reads its own service's name from here.

    def __init__(self, stack):
        self.stack = stack
        self.physical_resource_id = (
            f"https://{WAIT_HOST}/arn%3Aaws%3Acloudformation%3A{REGION}%3A{ACCOUNT}%3Astack%2F{stack}%2Fd7f3c3a0"
            "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=86399&X-Amz-SignedHeaders=host&X-Amz-Signature=0f1e2d3c")

    @staticmethod
    def cloudformation_name_type():
        return None

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::WaitConditionHandle"

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        return cls(kwargs["StackId"].split("/")[1])

    @classmethod
    def delete_from_cloudformation_json(cls, *arguments):
        pass


class WaitCondition(CloudFormationModel):
    """Holds the creation of its stack until the signal is there; a FAILURE fails it with the reason that was given."""

    __module__ = "moto.cloudformation.wait"

    def __init__(self, signal):
        self.data = json.dumps({signal["UniqueId"]: signal["Data"]})
        self.physical_resource_id = "wait-condition"

    @staticmethod
    def cloudformation_name_type():
        return None

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::WaitCondition"

    @classmethod
    def has_cfn_attr(cls, attribute):
        return attribute == "Data"

    def get_cfn_attribute(self, attribute):
        return self.data

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        file = SIGNALS / f"{kwargs['StackId'].split('/')[1]}.json"
        deadline = time.monotonic() + float(cloudformation_json["Properties"]["Timeout"])
        while not file.exists():
            if time.monotonic() > deadline:
                raise ValidationError(message="WaitCondition timed out. Received 0 conditions when expecting 1")
            time.sleep(0.05)
        signal = json.loads(file.read_text())
        if signal["Status"] != "SUCCESS":
            raise ValidationError(
                message=f"WaitCondition received failed message: '{signal['Reason']}' for uniqueId: {signal['UniqueId']}")
        return cls(signal)

    @classmethod
    def delete_from_cloudformation_json(cls, *arguments):
        pass


if __name__ == "__main__":
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    for known in (WaitConditionHandle, WaitCondition):
        parsing.NULL_MODELS.remove(known.cloudformation_type())
    for name, value in PUBLIC_PARAMETERS.items():
        ssm_backends[ACCOUNT][REGION]._parameters[name].append(Parameter(
            account_id=ACCOUNT, name=name, value=value, parameter_type="String", data_type="text", version=1,
            last_modified_date=datetime(2026, 1, 1, tzinfo=UTC), description=None, allowed_pattern=None, keyid=None))
    ThreadedMotoServer(ip_address="127.0.0.1", port=PORT).start()
    threading.Event().wait()
