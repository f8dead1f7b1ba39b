/* Terminals: constants of the x86-64 Linux ABI. */
#ifndef ABI_TTY_H
#define ABI_TTY_H

#define LX_B0 0

#define LX_B1000000 0x1008

#define LX_B110 3

#define LX_B115200 0x1002

#define LX_B1152000 0x1009

#define LX_B1200 9

#define LX_B134 4

#define LX_B150 5

#define LX_B1500000 0x100a

#define LX_B1800 10

#define LX_B19200 14

#define LX_B200 6

#define LX_B2000000 0x100b

#define LX_B230400 0x1003

#define LX_B2400 11

#define LX_B2500000 0x100c

#define LX_B300 7

#define LX_B3000000 0x100d

#define LX_B3500000 0x100e

#define LX_B38400 15

#define LX_B4000000 0x100f

#define LX_B460800 0x1004

#define LX_B4800 12

#define LX_B50 1

#define LX_B500000 0x1005

#define LX_B57600 0x1001

#define LX_B576000 0x1006

#define LX_B600 8

#define LX_B75 2

#define LX_B921600 0x1007

#define LX_B9600 13

#define LX_BRKINT 2

#define LX_CBAUD 0x100f

#define LX_CBAUDEX 0x1000

#define LX_CIBAUD 0x100f0000

#define LX_CLOCAL 0x800

#define LX_CMSPAR 0x40000000

#define LX_CR0 0

#define LX_CR1 0x200

#define LX_CR2 0x400

#define LX_CR3 0x600

#define LX_CRDLY 0x600

#define LX_CREAD 0x80

#define LX_CRTSCTS 0x80000000U

#define LX_CS5 0

#define LX_CS6 0x10

#define LX_CS7 0x20

#define LX_CS8 0x30

#define LX_CSIZE 0x30

#define LX_CSTOPB 0x40

#define LX_ECHO 8

#define LX_ECHOCTL 0x200

#define LX_ECHOE 0x10

#define LX_ECHOK 0x20

#define LX_ECHOKE 0x800

#define LX_ECHONL 0x40

#define LX_ECHOPRT 0x400

#define LX_EXTA 14

#define LX_EXTB 15

#define LX_EXTPROC 0x10000

#define LX_FIOASYNC 0x5452

#define LX_FIOCLEX 0x5451

#define LX_FIONBIO 0x5421

#define LX_FIONCLEX 0x5450

#define LX_FIONREAD 0x541b

#define LX_FIOQSIZE 0x5460

#define LX_HUPCL 0x400

#define LX_IBSHIFT 0x10

#define LX_ICANON 2

#define LX_ICRNL 0x100

#define LX_IEXTEN 0x8000

#define LX_IGNBRK 1

#define LX_IGNCR 0x80

#define LX_IGNPAR 4

#define LX_IMAXBEL 0x2000

#define LX_INLCR 0x40

#define LX_INPCK 0x10

#define LX_ISIG 1

#define LX_ISTRIP 0x20

#define LX_IUCLC 0x200

#define LX_IUTF8 0x4000

#define LX_IXANY 0x800

#define LX_IXOFF 0x1000

#define LX_IXON 0x400

#define LX_N_TTY 0

#define LX_NCCS 0x13

#define LX_NOFLSH 0x80

#define LX_OCRNL 8

#define LX_OFDEL 0x80

#define LX_OFILL 0x40

#define LX_OLCUC 2

#define LX_ONLCR 4

#define LX_ONLRET 0x20

#define LX_ONOCR 0x10

#define LX_OPOST 1

#define LX_PARENB 0x100

#define LX_PARMRK 8

#define LX_PARODD 0x200

#define LX_PENDIN 0x4000

#define LX_TAB0 0

#define LX_TAB1 0x800

#define LX_TAB2 0x1000

#define LX_TAB3 0x1800

#define LX_TCFLSH 0x540b

#define LX_TCGETA 0x5405

#define LX_TCGETS 0x5401

#define LX_TCGETS2 0x802c542aU

#define LX_TCGETX 0x5432

#define LX_TCIFLUSH 0

#define LX_TCIOFF 2

#define LX_TCIOFLUSH 2

#define LX_TCION 3

#define LX_TCOFLUSH 1

#define LX_TCOOFF 0

#define LX_TCOON 1

#define LX_TCSADRAIN 1

#define LX_TCSAFLUSH 2

#define LX_TCSANOW 0

#define LX_TCSBRK 0x5409

#define LX_TCSBRKP 0x5425

#define LX_TCSETA 0x5406

#define LX_TCSETAF 0x5408

#define LX_TCSETAW 0x5407

#define LX_TCSETS 0x5402

#define LX_TCSETS2 0x402c542b

#define LX_TCSETSF 0x5404

#define LX_TCSETSF2 0x402c542d

#define LX_TCSETSW 0x5403

#define LX_TCSETSW2 0x402c542c

#define LX_TCSETX 0x5433

#define LX_TCSETXF 0x5434

#define LX_TCSETXW 0x5435

#define LX_TCXONC 0x540a

#define LX_TIOCCBRK 0x5428

#define LX_TIOCCONS 0x541d

#define LX_TIOCEXCL 0x540c

#define LX_TIOCGDEV 0x80045432U

#define LX_TIOCGETD 0x5424

#define LX_TIOCGEXCL 0x80045440U

#define LX_TIOCGICOUNT 0x545d

#define LX_TIOCGLCKTRMIOS 0x5456

#define LX_TIOCGPGRP 0x540f

#define LX_TIOCGPKT 0x80045438U

#define LX_TIOCGPTLCK 0x80045439U

#define LX_TIOCGPTN 0x80045430U

#define LX_TIOCGPTPEER 0x5441

#define LX_TIOCGRS485 0x542e

#define LX_TIOCGSERIAL 0x541e

#define LX_TIOCGSID 0x5429

#define LX_TIOCGSOFTCAR 0x5419

#define LX_TIOCGWINSZ 0x5413

#define LX_TIOCINQ 0x541b

#define LX_TIOCLINUX 0x541c

#define LX_TIOCM_LE 1
#define LX_TIOCM_DTR 2
#define LX_TIOCM_RTS 4
#define LX_TIOCM_ST 8
#define LX_TIOCM_SR 0x10
#define LX_TIOCM_CTS 0x20
#define LX_TIOCM_CAR 0x40
#define LX_TIOCM_CD 0x40
#define LX_TIOCM_RI 0x80
#define LX_TIOCM_RNG 0x80
#define LX_TIOCM_DSR 0x100
#define LX_TIOCM_OUT1 0x2000
#define LX_TIOCM_OUT2 0x4000
#define LX_TIOCM_LOOP 0x8000

#define LX_TIOCMBIC 0x5417

#define LX_TIOCMBIS 0x5416

#define LX_TIOCMGET 0x5415

#define LX_TIOCMIWAIT 0x545c

#define LX_TIOCMSET 0x5418

#define LX_TIOCNOTTY 0x5422

#define LX_TIOCNXCL 0x540d

#define LX_TIOCOUTQ 0x5411

#define LX_TIOCPKT_DATA 0
#define LX_TIOCPKT_FLUSHREAD 1
#define LX_TIOCPKT_FLUSHWRITE 2
#define LX_TIOCPKT_STOP 4
#define LX_TIOCPKT_START 8
#define LX_TIOCPKT_NOSTOP 0x10
#define LX_TIOCPKT_DOSTOP 0x20
#define LX_TIOCPKT_IOCTL 0x40
#define LX_TIOCPKT 0x5420

#define LX_TIOCSBRK 0x5427

#define LX_TIOCSCTTY 0x540e

#define LX_TIOCSER_TEMT 1

#define LX_TIOCSERCONFIG 0x5453

#define LX_TIOCSERGETLSR 0x5459

#define LX_TIOCSERGETMULTI 0x545a

#define LX_TIOCSERGSTRUCT 0x5458

#define LX_TIOCSERGWILD 0x5454

#define LX_TIOCSERSETMULTI 0x545b

#define LX_TIOCSERSWILD 0x5455

#define LX_TIOCSETD 0x5423

#define LX_TIOCSIG 0x40045436

#define LX_TIOCSLCKTRMIOS 0x5457

#define LX_TIOCSPGRP 0x5410

#define LX_TIOCSPTLCK 0x40045431

#define LX_TIOCSRS485 0x542f

#define LX_TIOCSSERIAL 0x541f

#define LX_TIOCSSOFTCAR 0x541a

#define LX_TIOCSTI 0x5412

#define LX_TIOCSWINSZ 0x5414

#define LX_TIOCVHANGUP 0x5437

#define LX_TOSTOP 0x100

#define LX_VDISCARD 13

#define LX_VEOF 4

#define LX_VEOL 11

#define LX_VEOL2 0x10

#define LX_VERASE 2

#define LX_VINTR 0

#define LX_VKILL 3

#define LX_VLNEXT 15

#define LX_VMIN 6

#define LX_VQUIT 1

#define LX_VREPRINT 12

#define LX_VSTART 8

#define LX_VSTOP 9

#define LX_VSUSP 10

#define LX_VSWTC 7

#define LX_VT0 0

#define LX_VT1 0x4000

#define LX_VTDLY 0x4000

#define LX_VTIME 5

#define LX_VWERASE 14

#define LX_XCASE 4

#endif
