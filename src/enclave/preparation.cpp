// SPDX-License-Identifier: Apache-2.0
#include "enclave/preparation.hpp"

#include "api/limits.hpp"
#include "enclave/guest_ram.hpp"
#include "support/system.hpp"

namespace alcove::enclave {

PreparationWork PreparationWork::real() {
    return {.take_image = enclave::take_image,
            .open_ram = open_guest_ram,
            .fill_ram = fill_guest_ram,
            .seal =
                [](const Channel& attestor, const ImageFacts& facts, uint32_t flags,
                   const std::atomic<bool>& cancelled) {
                    return seal_measurements(attestor, facts, flags, cancelled);
                },
            .move_region = memory::move_region,
            .return_region = memory::return_region,
            .reserve_missing = memory::reserve_missing};
}

struct Preparation::Shared {
    EventLoop& loop;
    PreparationWork work;
    Callbacks callbacks;
    // Set by the loop's thread, read by the others, which only have to notice it some time.
    std::atomic<bool> cancelled = false;
    std::atomic<bool> abandoned = false;  // nobody is there to hear what the attestor says

    Shared(EventLoop& the_loop, PreparationWork the_work, Callbacks the_callbacks)
        : loop(the_loop), work(std::move(the_work)), callbacks(std::move(the_callbacks)) {}

    Result<void> filled(const Fd& ram, uint64_t bytes, uint32_t page_size) const {
        return work.fill_ram(ram, bytes, page_size, cancelled);
    }
    // Of huge pages there may be none left when they are touched, so they come first.
    Result<Fd> usable_ram(uint64_t bytes, uint32_t page_size) const {
        auto ram = TRY(work.open_ram(bytes, page_size));
        if (page_size == api::kHugePage) TRY(filled(ram, bytes, page_size));
        return ram;
    }

    // From any thread: calls `callback` with the value on the loop's, unless `unwanted` is set by then.
    template <typename Value>
    static void deliver_unless(std::atomic<bool> Shared::*unwanted, const std::shared_ptr<Shared>& self,
                               std::function<void(Value)> Callbacks::*callback, Value value) {
        // Tasks are copyable, results with descriptors are not.
        self->loop.post([unwanted, self, callback, held = std::make_shared<Value>(std::move(value))] {
            if (!((*self).*unwanted)) (self->callbacks.*callback)(std::move(*held));
        });
    }
    template <typename Value>
    static void deliver(const std::shared_ptr<Shared>& self, std::function<void(Value)> Callbacks::*callback,
                        Value value) {
        deliver_unless(&Shared::cancelled, self, callback, std::move(value));
    }
};

Preparation::Preparation(EventLoop& loop, PreparationWork work, Callbacks callbacks)
    : shared_(std::make_shared<Shared>(loop, std::move(work), std::move(callbacks))) {}

Preparation::~Preparation() {
    cancel();
    shared_->abandoned = true;
    for (auto& thread : threads_)
        thread.join();
}

void Preparation::cancel() {
    shared_->cancelled = true;
}

void Preparation::take_image(Fd source, const ImageLocation& location, uint64_t guest_memory_bytes,
                             std::optional<uint32_t> released_page_size) {
    threads_.emplace_back(
        [shared = shared_, source = std::move(source), location, guest_memory_bytes, released_page_size] {
            const ImageIntake intake{.location = location,
                                     .released_page_size = released_page_size,
                                     .guest_memory_bytes = guest_memory_bytes,
                                     .time = std::chrono::system_clock::now(),
                                     .report = [&shared](uint64_t done, uint64_t total) {
                                         const api::shim::Progress progress{.bytes_done = done,
                                                                            .bytes_total = total};
                                         Shared::deliver(shared, &Callbacks::on_progress, progress);
                                     }};
            Shared::deliver(shared, &Callbacks::on_image,
                            shared->work.take_image(source, intake, shared->cancelled));
        });
}

void Preparation::reserve_memory(uint64_t bytes, uint32_t page_size, Fd former) {
    threads_.emplace_back([shared = shared_, bytes, page_size, former = std::move(former)]() mutable {
        // Two lives' memory at a time would be more than the VM may have.
        if (former.is_open()) static_cast<void>(memory::release_pages({former, 0}, bytes).has_value());
        former.reset();
        const auto ram = shared->usable_ram(bytes, page_size);
        auto copy = ram ? sys::duplicate(ram->get()) : Result<Fd>(Failure{ram.error()});
        const bool usable = copy.has_value();
        Shared::deliver(shared, &Callbacks::on_memory, std::move(copy));
        // What is there already costs nothing.
        if (usable)
            Shared::deliver(shared, &Callbacks::on_memory_reserved, shared->filled(*ram, bytes, page_size));
    });
}

void Preparation::seal(Fd attestor_copy, const ImageFacts& facts, uint32_t flags) {
    threads_.emplace_back([shared = shared_, channel = Channel(std::move(attestor_copy)), facts, flags] {
        Shared::deliver_unless(&Shared::abandoned, shared, &Callbacks::on_sealed,
                               shared->work.seal(channel, facts, flags, shared->abandoned));
    });
}

}  // namespace alcove::enclave
