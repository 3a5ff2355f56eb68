// SPDX-License-Identifier: Apache-2.0
#include "enclave/preparation.hpp"

#include "enclave/guest_ram.hpp"

namespace alcove::enclave {

PreparationWork PreparationWork::real() {
    return {.take_image = enclave::take_image,
            .reserve_ram = reserve_guest_ram,
            .seal = [](const Channel& attestor, const ImageFacts& facts, const std::atomic<bool>& cancelled) {
                return seal_measurements(attestor, facts, cancelled);
            }};
}

struct Preparation::Shared {
    EventLoop& loop;
    PreparationWork work;
    Callbacks callbacks;
    // Set by the loop's thread, read by the others, which only have to notice it some time.
    std::atomic<bool> cancelled = false;

    Shared(EventLoop& the_loop, PreparationWork the_work, Callbacks the_callbacks)
        : loop(the_loop), work(std::move(the_work)), callbacks(std::move(the_callbacks)) {}

    // From any thread: calls `callback` with the value on the loop's, if it is still wanted then.
    template <typename Value>
    static void deliver(const std::shared_ptr<Shared>& self, std::function<void(Value)> Callbacks::*callback,
                        Value value) {
        // Tasks are copyable, results with descriptors are not.
        self->loop.post([self, callback, held = std::make_shared<Value>(std::move(value))] {
            if (!self->cancelled) (self->callbacks.*callback)(std::move(*held));
        });
    }
};

Preparation::Preparation(EventLoop& loop, PreparationWork work, Callbacks callbacks)
    : shared_(std::make_shared<Shared>(loop, std::move(work), std::move(callbacks))) {}

Preparation::~Preparation() {
    cancel();
    for (auto& thread : threads_)
        thread.join();
}

void Preparation::cancel() {
    shared_->cancelled = true;
}

void Preparation::take_image(Fd source, uint64_t image_bytes, uint64_t guest_memory_bytes) {
    threads_.emplace_back([shared = shared_, source = std::move(source), image_bytes, guest_memory_bytes] {
        const ImageIntake intake{
            .image_bytes = image_bytes,
            .guest_memory_bytes = guest_memory_bytes,
            .time = std::chrono::system_clock::now(),
            .report = [&shared](uint64_t done) { Shared::deliver(shared, &Callbacks::on_progress, done); }};
        Shared::deliver(shared, &Callbacks::on_image,
                        shared->work.take_image(source, intake, shared->cancelled));
    });
}

void Preparation::reserve_memory(uint64_t bytes, uint32_t page_size) {
    threads_.emplace_back([shared = shared_, bytes, page_size] {
        Shared::deliver(shared, &Callbacks::on_memory,
                        shared->work.reserve_ram(bytes, page_size, shared->cancelled));
    });
}

void Preparation::seal(Fd attestor_copy, const ImageFacts& facts) {
    threads_.emplace_back([shared = shared_, channel = Channel(std::move(attestor_copy)), facts] {
        Shared::deliver(shared, &Callbacks::on_sealed, shared->work.seal(channel, facts, shared->cancelled));
    });
}

}  // namespace alcove::enclave
