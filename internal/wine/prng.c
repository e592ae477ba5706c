// bcryptprimitives.dll, which programs built with Go 1.22 or newer need to
// start, and which Wine before 9 does not have. SystemFunction036 is what the
// Windows headers call RtlGenRandom.
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
	return SystemFunction036(buffer, (ULONG)length);
}
