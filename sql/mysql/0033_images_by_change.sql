-- An author's images by their last change, for streams of their events.
ALTER TABLE images ADD KEY images_author_updated (author, updated_at);
