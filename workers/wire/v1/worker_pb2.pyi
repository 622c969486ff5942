from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    READY: _ClassVar[State]
    RESTING: _ClassVar[State]
    DRAINING: _ClassVar[State]
STATE_UNSPECIFIED: State
READY: State
RESTING: State
DRAINING: State

class Batch(_message.Message):
    __slots__ = ("id", "rows", "records", "texts", "budget_ms", "shapes")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MS_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    id: int
    rows: int
    records: bytes
    texts: _containers.RepeatedCompositeFieldContainer[Text]
    budget_ms: int
    shapes: _containers.RepeatedCompositeFieldContainer[Shape]
    def __init__(self, id: _Optional[int] = ..., rows: _Optional[int] = ..., records: _Optional[bytes] = ..., texts: _Optional[_Iterable[_Union[Text, _Mapping]]] = ..., budget_ms: _Optional[int] = ..., shapes: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("values", "missing")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    missing: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[str]] = ..., missing: _Optional[_Iterable[int]] = ...) -> None: ...

class Shape(_message.Message):
    __slots__ = ("dims",)
    DIMS_FIELD_NUMBER: _ClassVar[int]
    dims: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dims: _Optional[_Iterable[int]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("id", "rows", "records", "texts", "shapes", "failure", "compute_ns", "state")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SHAPES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_NS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    id: int
    rows: int
    records: bytes
    texts: _containers.RepeatedCompositeFieldContainer[Text]
    shapes: _containers.RepeatedCompositeFieldContainer[Shape]
    failure: Failure
    compute_ns: int
    state: State
    def __init__(self, id: _Optional[int] = ..., rows: _Optional[int] = ..., records: _Optional[bytes] = ..., texts: _Optional[_Iterable[_Union[Text, _Mapping]]] = ..., shapes: _Optional[_Iterable[_Union[Shape, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., compute_ns: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "kind")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Failure.Code]
        MODEL: _ClassVar[Failure.Code]
        TIMEOUT: _ClassVar[Failure.Code]
        INVALID: _ClassVar[Failure.Code]
        INTERNAL: _ClassVar[Failure.Code]
        REFUSED: _ClassVar[Failure.Code]
    UNSPECIFIED: Failure.Code
    MODEL: Failure.Code
    TIMEOUT: Failure.Code
    INVALID: Failure.Code
    INTERNAL: Failure.Code
    REFUSED: Failure.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    code: Failure.Code
    message: str
    kind: str
    def __init__(self, code: _Optional[_Union[Failure.Code, str]] = ..., message: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("inputs", "outputs", "platform", "runtime", "device", "pid", "max_rows", "load_ms", "example", "properties")
    class PropertiesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.RepeatedCompositeFieldContainer[Column]
    outputs: _containers.RepeatedCompositeFieldContainer[Column]
    platform: str
    runtime: str
    device: str
    pid: int
    max_rows: int
    load_ms: int
    example: str
    properties: _containers.ScalarMap[str, str]
    def __init__(self, inputs: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., platform: _Optional[str] = ..., runtime: _Optional[str] = ..., device: _Optional[str] = ..., pid: _Optional[int] = ..., max_rows: _Optional[int] = ..., load_ms: _Optional[int] = ..., example: _Optional[str] = ..., properties: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "kind", "datatype", "shape", "levels", "nullable")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    levels: _containers.RepeatedScalarFieldContainer[str]
    nullable: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., levels: _Optional[_Iterable[str]] = ..., nullable: _Optional[bool] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("grace_ms",)
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    grace_ms: int
    def __init__(self, grace_ms: _Optional[int] = ...) -> None: ...

class DrainReply(_message.Message):
    __slots__ = ("unfinished",)
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    unfinished: int
    def __init__(self, unfinished: _Optional[int] = ...) -> None: ...
