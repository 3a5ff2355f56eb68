// SPDX-License-Identifier: Apache-2.0
#include "embedded/qemu_command.hpp"

namespace alcove::embedded {

namespace {

// In QEMU's option lists a comma ends a value; two stand for one.
std::string escaped(const std::string& value) {
    std::string out;
    for (const char c : value) {
        out.push_back(c);
        if (c == ',') out.push_back(',');
    }
    return out;
}

}  // namespace

std::vector<std::string> qemu_arguments(const QemuMachine& machine) {
    const std::string folder = escaped(machine.folder);
    // tsc=reliable: an emulated processor may stand still for longer than the clock watchdog believes
    // possible. lpj: each processor would otherwise calibrate its delay loop against the same stalls; delays
    // use the TSC. no_timer_check: that would count the ticks of such a wait, and panic over too few.
    // panic=-1 with -no-reboot: a panic ends QEMU. Mitigations are left on: they cost nothing measurable
    // here.
    std::string command_line =
        "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable lpj=10000000 no_timer_check nowatchdog";
    if (!machine.extra_command_line.empty()) command_line += " " + machine.extra_command_line;

    std::vector<std::string> arguments = {
        machine.program,
        "-name",
        "alcove-host",
        // With interrupt remapping Linux uses the APICs by their MSRs, as it otherwise does on real machines
        // only: TCG emulates an access to their page by stopping in the middle of a block of instructions,
        // and some of those, ends of interrupts too, get lost (testhost/README.md).
        "-machine",
        "q35,usb=off,vmport=off,sata=off,smbus=off",
        "-device",
        "intel-iommu,intremap=on,eim=on",
        "-accel",
        "tcg,thread=multi",
        // Without ERMS and FSRM: TCG runs `rep movsb` a byte at a time.
        "-cpu",
        "max,-erms,-fsrm",
        // Twice the processors that most machines have, for a core that is never lent and two for each of a
        // primary and its enclaves.
        "-smp",
        "8,sockets=1,cores=4,threads=2",
        "-m",
        std::to_string(machine.memory_mib),
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-kernel",
        machine.kernel,
        "-initrd",
        machine.initrd,
        "-append",
        command_line,
        "-chardev",
        "file,id=console,path=" + folder + "/" + kConsoleFile,
        "-serial",
        "chardev:console",
        "-chardev",
        "socket,id=qmp,server=on,wait=off,path=" + folder + "/" + kQmpSocket,
        "-mon",
        "chardev=qmp,mode=control",
        "-object",
        "rng-random,id=rng,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=rng",
        "-device",
        "virtio-serial-pci",
        "-chardev",
        "socket,id=bridge,server=on,wait=off,path=" + folder + "/" + kPortSocket,
        "-device",
        "virtserialport,chardev=bridge,name=alcove.bridge",
        "-blockdev",
        "driver=file,node-name=state-file,discard=unmap,filename=" + escaped(machine.state_disk),
        "-blockdev",
        "driver=raw,node-name=state,discard=unmap,file=state-file",
        "-device",
        std::string("virtio-blk-pci,drive=state,serial=") + kStateSerial,
        "-device",
        std::string("pcie-pci-bridge,id=") + kImageBus,
    };
    arguments.insert(arguments.end(), machine.extra_arguments.begin(), machine.extra_arguments.end());
    return arguments;
}

}  // namespace alcove::embedded
