/* What the kernel calls itself. The release decides what programs dare to use. */
#ifndef KERN_UNAME_H
#define KERN_UNAME_H

#define KERN_SYSNAME "Linux"
#define KERN_RELEASE "6.12.0"
#define KERN_VERSION "#1 SMP PREEMPT_DYNAMIC cVisor"
#define KERN_MACHINE "x86_64"

#endif
