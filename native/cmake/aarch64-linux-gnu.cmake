# Debian's cross compiler for 64-bit Arm, and its tests under emulation.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

# All that exists, one with SDOT, one with neither: and what each must offer, best first.
set(SECONDME_EMULATED_CPUS max neoverse-n1 cortex-a72)
set(SECONDME_KERNELS_OF_max neonusdot neonsdot neon serial)
set(SECONDME_KERNELS_OF_neoverse-n1 neonsdot neon serial)
set(SECONDME_KERNELS_OF_cortex-a72 neon serial)
