"""The calls of Windows that the job and the fence need, by ctypes. Nothing here decides anything.

Sources: learn.microsoft.com/windows/win32/procthread/job-objects, /secauthz/mandatory-integrity-control,
/secauthz/restricted-tokens; the layouts and numbers are those of winnt.h and processthreadsapi.h.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from ctypes import wintypes
from typing import Any, Protocol

KILL_ON_CLOSE, JOB_MEMORY, ACTIVE_PROCESSES = 0x2000, 0x200, 0x8
DIE_ON_EXCEPTION = 0x400
EXTENDED_LIMITS, UI_RESTRICTIONS = 9, 4  # JOBOBJECTINFOCLASS
NO_UI = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80
"""Handles of other programs, clipboard (both ways), system parameters, display settings, atoms, desktops, shutdown."""
SET_QUOTA, TERMINATE = 0x100, 0x1  # access to a process
TOKEN_ACCESS = 0x1 | 0x2 | 0x8 | 0x80  # assign primary, duplicate, query, adjust default
DISABLE_MAX_PRIVILEGE = 0x1
TOKEN_INTEGRITY_LEVEL = 25
LOW_INTEGRITY = "S-1-16-4096"
GROUP_INTEGRITY = 0x20
CREATE_SUSPENDED, UNICODE_ENVIRONMENT, NO_WINDOW = 0x4, 0x400, 0x08000000
USE_HANDLES = 0x100
INFINITE = 0xFFFFFFFF


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION; between the two stand the six counters of IO_COUNTERS."""

    _fields_ = (
        ("Basic", BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


class _SidAndAttributes(ctypes.Structure):
    _fields_ = (("Sid", ctypes.c_void_p), ("Attributes", ctypes.c_uint32))


class _StartupInfo(ctypes.Structure):
    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("lpReserved", ctypes.c_wchar_p),
        ("lpDesktop", ctypes.c_wchar_p),
        ("lpTitle", ctypes.c_wchar_p),
        *((name, ctypes.c_uint32) for name in ("dwX", "dwY", "dwXSize", "dwYSize", "dwXCountChars", "dwYCountChars")),
        ("dwFillAttribute", ctypes.c_uint32),
        ("dwFlags", ctypes.c_uint32),
        ("wShowWindow", ctypes.c_uint16),
        ("cbReserved2", ctypes.c_uint16),
        ("lpReserved2", ctypes.c_void_p),
        ("hStdInput", ctypes.c_void_p),
        ("hStdOutput", ctypes.c_void_p),
        ("hStdError", ctypes.c_void_p),
    )


class _ProcessInformation(ctypes.Structure):
    _fields_ = (
        ("hProcess", ctypes.c_void_p),
        ("hThread", ctypes.c_void_p),
        ("dwProcessId", ctypes.c_uint32),
        ("dwThreadId", ctypes.c_uint32),
    )


class Api(Protocol):
    """What is asked of Windows. Handles are numbers. Everything raises `OSError`."""

    def make_job(self) -> int:
        """A job without a name."""
        ...

    def limit(self, job: int, kind: int, limits: ctypes.Structure | ctypes.c_uint32) -> None:
        """Set one kind of limits of a job."""
        ...

    def open_process(self, pid: int) -> int:
        """A handle that may assign it to a job and end it."""
        ...

    def assign(self, job: int, process: int) -> None:
        """The process and all that it starts from now on belong to the job."""
        ...

    def end_job(self, job: int) -> None:
        """End all of its processes."""
        ...

    def close(self, handle: int) -> None:
        """Let go of a handle; with the last one a job that kills on close ends."""
        ...

    def low_token(self) -> int:
        """Our own token without privileges, at low integrity."""
        ...

    def start(self, token: int, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, int]:
        """(process, its first thread) of a suspended program that has our standard streams and no other handle."""
        ...

    def resume(self, thread: int) -> None:
        """Let it run."""
        ...

    def wait(self, process: int) -> int:
        """Its exit code, when it has ended."""
        ...


class Windows:
    """The real ones. Can be made on Windows only."""

    def __init__(self) -> None:
        load: Any = ctypes.WinDLL  # type: ignore[attr-defined,unused-ignore]
        self._kernel, self._security = load("kernel32", use_last_error=True), load("advapi32", use_last_error=True)
        handle, pointer, number = wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD
        for call, result, arguments in (
            (self._kernel.CreateJobObjectW, handle, (pointer, wintypes.LPCWSTR)),
            (self._kernel.SetInformationJobObject, wintypes.BOOL, (handle, ctypes.c_int, pointer, number)),
            (self._kernel.OpenProcess, handle, (number, wintypes.BOOL, number)),
            (self._kernel.AssignProcessToJobObject, wintypes.BOOL, (handle, handle)),
            (self._kernel.TerminateJobObject, wintypes.BOOL, (handle, wintypes.UINT)),
            (self._kernel.CloseHandle, wintypes.BOOL, (handle,)),
            (self._kernel.GetCurrentProcess, handle, ()),
            (self._kernel.GetStdHandle, handle, (number,)),
            (self._kernel.SetHandleInformation, wintypes.BOOL, (handle, number, number)),
            (self._kernel.ResumeThread, number, (handle,)),
            (self._kernel.WaitForSingleObject, number, (handle, number)),
            (self._kernel.GetExitCodeProcess, wintypes.BOOL, (handle, pointer)),
            (self._kernel.LocalFree, pointer, (pointer,)),
            (self._security.OpenProcessToken, wintypes.BOOL, (handle, number, pointer)),
            (
                self._security.CreateRestrictedToken,
                wintypes.BOOL,
                (handle, number, number, pointer, number, pointer, number, pointer, pointer),
            ),
            (self._security.ConvertStringSidToSidW, wintypes.BOOL, (wintypes.LPCWSTR, pointer)),
            (self._security.SetTokenInformation, wintypes.BOOL, (handle, ctypes.c_int, pointer, number)),
            (
                self._security.CreateProcessAsUserW,
                wintypes.BOOL,
                (
                    *(handle, wintypes.LPCWSTR, wintypes.LPWSTR, pointer, pointer, wintypes.BOOL, number),
                    *(pointer, wintypes.LPCWSTR, pointer, pointer),
                ),
            ),
        ):
            call.restype, call.argtypes = result, arguments

    def make_job(self) -> int:
        return self._good(self._kernel.CreateJobObjectW(None, None))

    def limit(self, job: int, kind: int, limits: ctypes.Structure | ctypes.c_uint32) -> None:
        size = ctypes.sizeof(limits)
        self._good(self._kernel.SetInformationJobObject(job, kind, ctypes.byref(limits), size))

    def open_process(self, pid: int) -> int:
        return self._good(self._kernel.OpenProcess(SET_QUOTA | TERMINATE, False, pid))

    def assign(self, job: int, process: int) -> None:
        self._good(self._kernel.AssignProcessToJobObject(job, process))

    def end_job(self, job: int) -> None:
        self._good(self._kernel.TerminateJobObject(job, 1))

    def close(self, handle: int) -> None:
        self._kernel.CloseHandle(handle)

    def low_token(self) -> int:
        own, low, sid = wintypes.HANDLE(), wintypes.HANDLE(), ctypes.c_void_p()
        self._good(self._security.OpenProcessToken(self._kernel.GetCurrentProcess(), TOKEN_ACCESS, ctypes.byref(own)))
        try:
            self._good(
                self._security.CreateRestrictedToken(
                    own, DISABLE_MAX_PRIVILEGE, 0, None, 0, None, 0, None, ctypes.byref(low)
                )
            )
        finally:
            self.close(own.value or 0)
        self._good(self._security.ConvertStringSidToSidW(LOW_INTEGRITY, ctypes.byref(sid)))
        try:
            label = _SidAndAttributes(sid, GROUP_INTEGRITY)
            size = ctypes.sizeof(label)
            self._good(self._security.SetTokenInformation(low, TOKEN_INTEGRITY_LEVEL, ctypes.byref(label), size))
        finally:
            self._kernel.LocalFree(sid)
        return low.value or 0

    def start(self, token: int, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, int]:
        streams = [self._kernel.GetStdHandle(number) for number in (0xFFFFFFF6, 0xFFFFFFF5, 0xFFFFFFF4)]
        for stream in streams:
            self._kernel.SetHandleInformation(stream, 1, 1)  # may be inherited
        info = _StartupInfo(dwFlags=USE_HANDLES)
        info.cb = ctypes.sizeof(info)
        info.hStdInput, info.hStdOutput, info.hStdError = streams
        made = _ProcessInformation()
        line = ctypes.create_unicode_buffer(subprocess.list2cmdline(argv))
        block = ctypes.create_unicode_buffer("".join(f"{name}={value}\0" for name, value in environment.items()) + "\0")
        flags = CREATE_SUSPENDED | UNICODE_ENVIRONMENT | NO_WINDOW
        self._good(
            self._security.CreateProcessAsUserW(
                token, None, line, None, None, True, flags, block, None, ctypes.byref(info), ctypes.byref(made)
            )
        )
        return made.hProcess, made.hThread

    def resume(self, thread: int) -> None:
        if self._kernel.ResumeThread(thread) == INFINITE:
            self._good(0)

    def wait(self, process: int) -> int:
        self._kernel.WaitForSingleObject(process, INFINITE)
        code = wintypes.DWORD()
        self._good(self._kernel.GetExitCodeProcess(process, ctypes.byref(code)))
        return code.value

    def _good(self, result: int | None) -> int:
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]
        return int(result)
